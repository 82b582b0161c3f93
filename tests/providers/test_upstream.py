"""What both wires have in common: how bytes arrive, how a connection ends, and what is known of the models."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from realtime.events import Text
from realtime.policy import Deadlines
from realtime.providers.anthropic import AnthropicProvider
from realtime.providers.base import Provider
from realtime.providers.openai import OpenAIProvider

from ..upstream import FIN, RESET, STALL, Reply, Upstream, Wait, chat, cut, messages
from .heard import HELLO, hear


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
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as server:
        yield server


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
        assert await anext(stream) == []
        go.set()
        rest = [item async for batch in stream for item in batch]
    assert Text("x") in rest


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
        await anext(stream)
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
