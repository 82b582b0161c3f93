"""What both wires have in common: how bytes arrive, how a connection ends, and what is known of the models."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from realtime.events import Text
from realtime.policy import Deadlines
from realtime.providers.anthropic import AnthropicProvider
from realtime.providers.base import Batch, Ended, Provider
from realtime.providers.openai import OpenAIProvider
from realtime.providers.openai_chunks import ChatTranslator
from realtime.providers.opened import Response
from realtime.providers.upstream import stream

from ..upstream import FIN, RESET, STALL, Reply, Upstream, Wait, chat, cut, messages
from .heard import HELLO, all_of, first, hear


@dataclass(frozen=True)
class Wire:
    """One wire's bytes.

    Attributes:
        begun: Of a text that is not finished.
        half: One text event that holds half a character.
    """

    make: Callable[[str], Provider]
    text: Callable[..., list[bytes]]
    begun: list[bytes]
    half: bytes
    models: dict[str, Any]


WIRES = {
    "openai": Wire(
        lambda url: OpenAIProvider("key", url),
        chat.text,
        chat.text("x", finish=None),
        b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n',
        chat.models("small", "large"),
    ),
    "anthropic": Wire(
        lambda url: AnthropicProvider("key", url),
        messages.text,
        messages.text("x", whole=False),
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"%b"}}\n\n',
        messages.models("small", "large"),
    ),
}


@pytest.fixture(params=sorted(WIRES))
def wire(request: pytest.FixtureRequest) -> Wire:
    return WIRES[request.param]


@pytest.fixture
async def provider(upstream: Upstream, wire: Wire) -> AsyncIterator[Provider]:
    made = wire.make(upstream.url)
    yield made
    await made.close()


@pytest.mark.parametrize("place", [1, 7, 20, 151, 152, 300, 333, 500])
async def test_bytes_cut_anywhere(upstream: Upstream, wire: Wire, provider: Provider, place: int) -> None:
    """Where the network cuts the bytes changes nothing."""
    upstream.reply = Reply(cut(b"".join(wire.text("a", "😀", "c")), place, place + 1))
    heard = await hear(provider)
    assert (heard.message.text, len(heard.ended), heard.usage[-1].output_tokens) == ("a😀c", 1, 7)


async def test_half_a_character_does_not_fail_the_stream(upstream: Upstream, wire: Wire, provider: Provider) -> None:
    """An emoji cut in two between events, or in two bytes, becomes U+FFFD and the rest is whole."""
    halves = [wire.half % text for text in (rb"a\ud83d", rb"\ude00b", b"c\xf0\x9f")]
    upstream.reply = Reply([*wire.begun, *halves, *wire.text("d")])
    heard = await hear(provider)
    assert heard.message.text == "xa\ufffd\ufffdbc\ufffdd"
    assert len(heard.ended) == 1


@pytest.mark.parametrize("sign", [b": PROCESSING\n\n", b"event: ping\n", b'event: ping\ndata: {"type":"ping"}\n\n'])
async def test_keep_alives_are_signs_of_life(upstream: Upstream, wire: Wire, provider: Provider, sign: bytes) -> None:
    """A comment, a ping, or an event that is only begun, gives an empty batch at once."""
    go = asyncio.Event()
    upstream.reply = Reply([sign, Wait(go), *wire.text("x")])
    async with provider.open(HELLO, Deadlines()) as stream:
        batches: list[Batch] = []

        def take(batch: Batch) -> None:
            batches.append(batch)
            go.set()

        await stream.run(take)
    assert batches[0] == []
    assert Text("x") in [item for batch in batches for item in batch]


@pytest.mark.parametrize("how", [FIN, RESET])
async def test_a_connection_lost_on_the_way(upstream: Upstream, wire: Wire, provider: Provider, how: Any) -> None:
    """What came before the loss was said; the loss is an error."""
    upstream.reply = Reply([*wire.begun, how])
    heard = await hear(provider)
    assert (heard.events, heard.ended, heard.code) == ([Text("x")], [], "upstream_truncated")


async def test_a_stop_closes_the_upstream(upstream: Upstream, wire: Wire, provider: Provider) -> None:
    """Leaving the context in mid-stream closes the upstream connection."""
    upstream.reply = Reply([*wire.begun, STALL])
    async with provider.open(HELLO, Deadlines()) as stream:
        await first(stream)
        exchange = await upstream.next_exchange()
        await exchange.stalled.wait()
    await exchange.closed.wait()
    assert not exchange.answered.is_set()


@pytest.mark.parametrize(
    "reply",
    [Reply(before=[STALL]), Reply([STALL]), Reply([b": hm\n\n", STALL])],
    ids=["before headers", "before the body", "before a token"],
)
async def test_a_cancelled_reader_closes_the_upstream(upstream: Upstream, provider: Provider, reply: Reply) -> None:
    """A stop before the first token, even before the headers, closes the upstream connection."""
    upstream.reply = reply
    task = asyncio.create_task(hear(provider))
    exchange = await upstream.next_exchange()
    await exchange.stalled.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await exchange.closed.wait()


async def test_a_body_read_to_its_end_leaves_the_connection(upstream: Upstream, wire: Wire, provider: Provider) -> None:
    """The next request goes over the same connection."""
    upstream.reply = Reply(wire.text("x"))
    for _ in range(3):
        assert (await hear(provider)).ended
    assert (len(upstream.exchanges), upstream.connections) == (3, 1)


async def test_models(upstream: Upstream, wire: Wire, provider: Provider) -> None:
    """The names are asked for once and kept."""
    upstream.reply = Reply.json(wire.models)
    assert await provider.models() == ("small", "large")
    assert await provider.models() == ("small", "large")
    assert [exchange.path.partition("?")[0].rpartition("/")[2] for exchange in upstream.exchanges] == ["models"]


@pytest.mark.parametrize("reply", [Reply.json({}, 500), Reply.json({"data": 3}), Reply(before=[RESET])])
async def test_models_that_cannot_be_asked(upstream: Upstream, provider: Provider, reply: Reply) -> None:
    """A provider that does not answer has no models, and is not asked again at once."""
    upstream.reply = reply
    assert await provider.models() == ()
    asked = len(upstream.exchanges)
    assert await provider.models() == ()
    assert len(upstream.exchanges) == asked


JUNK = {
    "no JSON": b"data: {oops\n\n",
    "an error": b'data: {"type":"error","error":{"code":429}}\n\n',
    "an odd event": b'data: {"type":"content_block_start","content_block":3,"choices":3}\n\n',
    "too much": b"data: " + b"x" * (5 << 20),
}


@pytest.mark.parametrize("junk", sorted(JUNK))
@pytest.mark.parametrize("apart", [False, True], ids=["same read", "next read"])
async def test_junk_behind_the_end(
    upstream: Upstream, wire: Wire, provider: Provider, caplog: pytest.LogCaptureFixture, junk: str, apart: bool
) -> None:
    """A whole answer stays whole, with its usage, whatever comes behind the provider's reason for the end."""
    whole = wire.text("x")
    # Chat Completions says its usage after the reason, so the junk comes in between.
    behind = -2 if wire.text is chat.text and junk != "too much" else len(whole)
    steps = [b"".join(whole[:behind]), JUNK[junk] * (1 if junk == "too much" else 3), b"".join(whole[behind:])]
    upstream.reply = Reply([step for step in (steps if apart else [b"".join(steps)]) if step])
    heard = await hear(provider)
    assert (heard.message.text, len(heard.ended), heard.error) == ("x", 1, None)
    assert heard.usage[-1].output_tokens == 7
    assert len([record for record in caplog.records if record.name == "realtime"]) <= 1
    assert "oops" not in caplog.text


class _Unclosable:
    """A response that cannot be closed."""

    def __init__(self, steps: list[bytes]) -> None:
        self.http_response = httpx2.Response(200)
        self._steps = steps

    async def iter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        try:
            for step in self._steps:
                yield step
        finally:
            raise ValueError("closing failed here too")

    async def close(self) -> None:
        raise ValueError("closing failed")


async def test_cookies_are_not_kept(upstream: Upstream, wire: Wire, provider: Provider) -> None:
    """What one answer sets does not go with the next request, which is somebody else's."""
    headers = {"content-type": "text/event-stream", "set-cookie": "tag=1; Path=/"}
    upstream.reply = Reply(wire.text("x"), headers=headers)
    for _ in range(2):
        assert (await hear(provider)).message.text == "x"
    assert ["cookie" in exchange.headers for exchange in upstream.exchanges] == [False, False]


async def test_what_made_the_request_is_let_go(upstream: Upstream, wire: Wire, provider: Provider) -> None:
    """While an answer comes nobody holds its request, which has the whole prompt in it, nor the response."""
    upstream.reply = Reply([*wire.begun, STALL])
    async with provider.open(HELLO, Deadlines()):
        gc.collect()
        held = [one for one in gc.get_objects() if isinstance(one, httpx2.Request | httpx2.Response)]
        assert [one for one in held if str(one.url).startswith(upstream.url)] == []


async def test_an_upstream_that_does_not_close() -> None:
    """An error of closing does not make a failure of an answer that is whole."""

    async def request() -> Response:
        return _Unclosable(chat.text("x"))

    async with stream(request, ChatTranslator(), Deadlines()) as answer:
        items = [item for batch in await all_of(answer) for item in batch]
    assert Ended("stop", "stop") in items
