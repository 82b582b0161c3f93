"""A background response: connections to it that drop are made good, and leaving it calls it off."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Sequence
from urllib.parse import parse_qs, urlsplit

import pytest

from realtime.errors import RealtimeError
from realtime.policy import Deadlines
from realtime.providers import responses_background
from realtime.providers.base import Ended
from realtime.providers.openai_responses import OpenAIResponsesProvider

from ..upstream import FIN, RESET, STALL, Exchange, Reply, Upstream, Wait
from ..upstream import responses as wire
from ..upstream.server import Break, Step
from .heard import HELLO, hear

KEY = "sk-test-0123456789"
EVENTS = wire.rich()
# How the body of a response ends that was cut off.
CUTS: Sequence[Sequence[Break]] = ((FIN,), (RESET,), ())


class Background:
    """The provider's side: one response, a script for each connection to it, and how often it was called off.

    Args:
        ends: Where each connection in turn is cut off, as a number of events of the whole; the last is not.
        lead: How many events from before `starting_after` each further connection begins with.
    """

    def __init__(self, events: Sequence[bytes], ends: Sequence[int], how: Sequence[Step] = (FIN,), lead: int = 0):
        self.events = events
        self.ends = list(ends)
        self.how = how
        self.lead = lead
        self.asked: list[int] = []
        self.called_off = 0

    def __call__(self, exchange: Exchange) -> Reply:
        url = urlsplit(exchange.path)
        if url.path == f"/v1/responses/{wire.ID}/cancel":
            self.called_off += 1
            return Reply.json(wire.response("cancelled"))
        begin = 0
        if exchange.method == "GET":
            assert url.path == f"/v1/responses/{wire.ID}"
            query = parse_qs(url.query)
            assert query["stream"] == ["true"]
            self.asked.append(int(query["starting_after"][0]))
            begin = max(0, self.asked[-1] + 1 - self.lead)
        if not self.ends:
            return Reply(self.events[begin:])
        return Reply([*self.events[begin : self.ends.pop(0)], *self.how])


@pytest.fixture
async def provider(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenAIResponsesProvider]:
    """With pauses between its connections that make no test wait."""
    monkeypatch.setattr(responses_background, "_PAUSE_S", 0.001)
    made = OpenAIResponsesProvider(KEY, f"{upstream.url}/v1", background=True)
    yield made
    await made.close()


async def test_the_request(upstream: Upstream, provider: OpenAIResponsesProvider) -> None:
    """It is asked to run in the background, and one that is read to its end is neither asked for nor called off."""
    upstream.reply = script = Background(EVENTS, [])
    assert (await hear(provider)).ended
    (exchange,) = upstream.exchanges
    assert (exchange.body["background"], exchange.body["store"], exchange.body["stream"]) == (True, True, True)
    assert script.called_off == 0


@pytest.mark.parametrize("how", CUTS)
async def test_a_drop_at_every_event(
    upstream: Upstream, provider: OpenAIResponsesProvider, how: Sequence[Break]
) -> None:
    """Wherever the connection drops behind the first event, all is heard that is heard without a drop, and once."""
    upstream.reply = Background(EVENTS, [])
    whole = await hear(provider)
    for end in range(1, len(EVENTS)):
        upstream.reply = script = Background(EVENTS, [end], how)
        heard = await hear(provider)
        assert (heard.events, heard.usage, heard.ended) == (whole.events, whole.usage, whole.ended)
        # A reset may overtake what was sent before it.
        assert script.asked == [end - 1] or (RESET in how and script.asked[0] < end - 1)
        assert (heard.error, script.called_off) == (None, 0)


@pytest.mark.parametrize("lead", [0, 1, 100])
async def test_two_drops(upstream: Upstream, provider: OpenAIResponsesProvider, lead: int) -> None:
    """A second drop is made good as the first, also by a server that repeats what was heard."""
    upstream.reply = Background(EVENTS, [])
    whole = await hear(provider)
    for end in range(1, len(EVENTS) - 1):
        upstream.reply = script = Background(EVENTS, [end, end + 1], lead=lead)
        heard = await hear(provider)
        assert (heard.events, heard.usage, heard.ended) == (whole.events, whole.usage, whole.ended)
        assert script.asked == [end - 1, end]


async def test_a_drop_within_an_event(upstream: Upstream, provider: OpenAIResponsesProvider) -> None:
    """Half an event is heard when it comes in whole."""
    upstream.reply = Background(EVENTS, [])
    whole = await hear(provider)
    for end in range(1, len(EVENTS) - 1):
        half = EVENTS[end][: len(EVENTS[end]) // 2]
        upstream.reply = Background(EVENTS, [end], (half, FIN))
        assert (await hear(provider)).events == whole.events


async def test_a_connection_for_each_event(upstream: Upstream, provider: OpenAIResponsesProvider) -> None:
    """As long as each brings something, there may be as many as there need to be."""
    upstream.reply = script = Background(EVENTS, range(1, len(EVENTS)))
    heard = await hear(provider)
    assert heard.ended == [Ended("tool_calls", "completed")]
    assert script.asked == list(range(len(EVENTS) - 1))


async def test_connections_in_vain_are_given_up(upstream: Upstream, provider: OpenAIResponsesProvider) -> None:
    """After so many in a row that bring nothing it is a truncated stream, and called off."""
    upstream.reply = script = Background(EVENTS, [5] * 100)
    heard = await hear(provider)
    assert (heard.code, heard.ended) == ("upstream_truncated", [])
    assert len(script.asked) == responses_background._MOST_IN_VAIN
    assert script.called_off == 1


def refusing(script: Background, *refusals: Reply) -> Callable[[Exchange], Reply]:
    """The script, whose first further connections are refused so."""
    left = list(refusals)

    def reply(exchange: Exchange) -> Reply:
        return left.pop(0) if exchange.method == "GET" and left else script(exchange)

    return reply


async def test_a_refusal_that_may_pass(upstream: Upstream, provider: OpenAIResponsesProvider) -> None:
    """An overloaded provider is asked again."""
    script = Background(EVENTS, [5])
    upstream.reply = refusing(script, Reply.json({}, 503), Reply.json({}, 429), Reply([FIN], framing="none"))
    heard = await hear(provider)
    assert (heard.error, len(heard.ended), script.called_off) == (None, 1, 0)


@pytest.mark.parametrize(("status", "called_off"), [(404, 0), (400, 1), (401, 1)])
async def test_a_response_that_cannot_be_had_any_more(
    upstream: Upstream, provider: OpenAIResponsesProvider, status: int, called_off: int
) -> None:
    """One that has expired, or cannot be read again, is truncated; what is gone needs not to be called off."""
    script = Background(EVENTS, [14])
    upstream.reply = refusing(script, Reply.json({"error": {"message": "expired"}}, status))
    heard = await hear(provider)
    assert (heard.code, script.called_off) == ("upstream_truncated", called_off)
    assert heard.events


async def test_a_fault_in_the_stream_is_one(upstream: Upstream, provider: OpenAIResponsesProvider) -> None:
    """What the provider says is no lost connection."""
    events = wire.numbered([*wire.created(), wire.end("failed", usage=None, error={"code": "rate_limit_exceeded"})])
    upstream.reply = script = Background(events, [])
    heard = await hear(provider)
    assert (heard.code, script.asked, script.called_off) == ("upstream_rate_limited", [], 0)


async def test_what_has_no_id_or_numbers_cannot_be_asked_for(
    upstream: Upstream, provider: OpenAIResponsesProvider
) -> None:
    """A connection that drops before the first event, or from a server that numbers none, is truncated."""
    unnumbered = [*wire.created(), *wire.message_events(0, "x")]
    for events in ([], unnumbered):
        upstream.reply = script = Background(events, [len(events)])
        assert (await hear(provider)).code == "upstream_truncated"
        assert script.asked == []


async def test_an_error_of_the_reader_is_the_reader_s(upstream: Upstream, provider: OpenAIResponsesProvider) -> None:
    """A reader that fails is not taken for a lost connection, and the response is called off."""
    upstream.reply = script = Background(EVENTS, [])

    def take(_batch: object) -> None:
        raise RealtimeError("log_limit")

    async with provider.open(HELLO, Deadlines()) as stream:
        with pytest.raises(RealtimeError) as raised:
            await stream.run(take)
    assert raised.value.code == "log_limit"
    assert script.asked == []


@pytest.mark.parametrize("drops", [0, 1])
async def test_a_stop_calls_it_off(upstream: Upstream, provider: OpenAIResponsesProvider, drops: int) -> None:
    """Leaving in the middle ends the response at the provider before the context is left, and closes all."""
    script = Background(EVENTS, [14] * drops)
    upstream.reply = lambda exchange: (
        script(exchange) if script.ends or "cancel" in exchange.path else Reply([*EVENTS[:20], STALL])
    )
    async with provider.open(HELLO, Deadlines()) as stream:
        reading = asyncio.create_task(stream.run(lambda _: None))
        exchange = [await upstream.next_exchange() for _ in range(drops + 1)][-1]
        await exchange.stalled.wait()
        reading.cancel()
        await asyncio.wait({reading})
        assert script.called_off == 0
    assert script.called_off == 1
    await exchange.closed.wait()


async def test_a_stop_before_the_first_event(upstream: Upstream, provider: OpenAIResponsesProvider) -> None:
    """Without an id there is nothing to call off, and nothing is waited for."""
    upstream.reply = script = Background(EVENTS, [])
    async with provider.open(HELLO, Deadlines()):
        pass
    assert script.called_off == 0


async def test_a_stop_waits_only_so_long(
    upstream: Upstream, provider: OpenAIResponsesProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider that does not answer holds no one up; the call goes on until the provider is closed."""
    monkeypatch.setattr(responses_background, "_PATIENCE_S", 0.05)
    heard, answer = asyncio.Event(), asyncio.Event()

    def reply(exchange: Exchange) -> Reply:
        if "cancel" not in exchange.path:
            return Reply([*EVENTS[:14], STALL])
        heard.set()
        cancelled = Reply.json(wire.response("cancelled"))
        return dataclasses.replace(cancelled, before=[Wait(answer)])

    upstream.reply = reply
    async with provider.open(HELLO, Deadlines()) as stream:
        reading = asyncio.create_task(stream.run(lambda _: None))
        await (await upstream.next_exchange()).stalled.wait()
        reading.cancel()
        await asyncio.wait({reading})
    await heard.wait()
    assert len(provider._tasks) == 1
    answer.set()
    await provider.close()
    assert len(provider._tasks) == 0


async def test_a_stop_during_the_pause_between_connections(
    upstream: Upstream, provider: OpenAIResponsesProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop is honoured while there is no connection at all."""
    monkeypatch.setattr(responses_background, "_PAUSE_S", 1e6)
    monkeypatch.setattr(responses_background, "_MAX_PAUSE_S", 1e6)
    upstream.reply = script = Background(EVENTS, [14])
    async with provider.open(HELLO, Deadlines()) as stream:
        reading = asyncio.create_task(stream.run(lambda _: None))
        exchange = await upstream.next_exchange()
        await exchange.closed.wait()
        reading.cancel()
        await asyncio.wait({reading})
    assert script.called_off == 1
