"""Stops from a client of one process for what another drives, while messages arrive and while none does.

Half of the generations talk, so their process is answered with every word; the other half have fallen silent, and only
the renewal of their leases brings it to Redis. Each is watched in both processes, and asked for twice.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest

from tests.support.http import request, stop
from tests.support.raw import WIRES
from tests.upstream import STALL, Exchange, Reply, Upstream, chat
from tests.upstream.server import Step

from .leaving import spaced
from .pair import Pair, pair
from .reader import Reader

Amount = Callable[[int, int], int]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# Running at once.
_WAVE = 50
_SOON_S = 20.0
# Where no message arrives; the figure is 3.5 s on a machine of one's own.
_UNHEARD_S = 6.0

_WORDS = [f"{n} " for n in range(1000)]
_REPLIES: dict[str, Sequence[Step]] = {
    "talk": [*spaced(chat.text(*_WORDS, finish=None), 0.5), STALL],
    "be silent": [*chat.text(*_WORDS[:5], finish=None), STALL],
}


class Stopping(NamedTuple):
    """A generation that is to be stopped, and who is to hear of it."""

    generation: str
    exchange: Exchange
    here: Reader
    elsewhere: Reader


class Took(NamedTuple):
    """Seconds since the stop was asked for."""

    answered: float
    told_here: float
    told_elsewhere: float
    closed: float


@asynccontextmanager
async def talking() -> AsyncIterator[tuple[Pair, Upstream]]:
    """Two processes before an upstream that does as the prompt says."""
    upstream = Upstream(lambda exchange: Reply(_REPLIES[prompt(exchange).partition(":")[0]]))
    async with upstream, pair(OPENAI_BASE_URL=upstream.url) as both:
        yield both, upstream


def prompt(exchange: Exchange) -> str:
    """What the upstream was asked."""
    text: str = exchange.body["messages"][-1]["content"]
    return text


async def wave(both: Pair, upstream: Upstream, count: int) -> list[Stopping]:
    """So many generations that one process drives, each of which has said something to a reader in either."""
    upstream.exchanges.clear()
    made = []
    for number, mood in zip(range(count), itertools.cycle(_REPLIES), strict=False):
        asked = f"{mood}: {number}"
        (generation,) = await both.start(both.one, model="openai/m", prompt=asked)
        here = both.watch(generation, WIRES[number % len(WIRES)], both.one)
        elsewhere = both.watch(generation, WIRES[(number + 1) % len(WIRES)], both.other)
        made.append((asked, generation, here, elsewhere))
    await both.begun()
    exchanges = {prompt(exchange): exchange for exchange in upstream.exchanges}
    return [Stopping(generation, exchanges[asked], here, elsewhere) for asked, generation, here, elsewhere in made]


async def stopped(both: Pair, one: Stopping) -> Took:
    """Stop a generation by the process that does not drive it, twice at once and again when it is over."""
    now = asyncio.get_running_loop().time
    asked = now()
    first = await stop(both.other.address, one.generation)
    answered = now()
    again = await stop(both.other.address, one.generation)
    assert {first["state"], again["state"]} <= {"stopping", "finished"}
    async with asyncio.timeout(_SOON_S):
        await asyncio.gather(one.here.ended.wait(), one.elsewhere.ended.wait(), one.exchange.closed.wait())
    late = await stop(both.other.address, one.generation)
    assert (late["state"], late["outcome"]) == ("finished", "stopped")
    assert {reader.events[-1]["stopped_by"] for reader in (one.here, one.elsewhere)} == {"owner"}
    moments = (answered, one.here.told_at, one.elsewhere.told_at, one.exchange.closed_at or 0.0)
    return Took(*(moment - asked for moment in moments))


def report(took: Sequence[Took]) -> None:
    """Say how long it was."""
    for name, seconds in zip(Took._fields, zip(*took, strict=True), strict=True):
        ms = sorted(1000 * second for second in seconds)
        p50, p99 = (ms[min(int(len(ms) * share), len(ms) - 1)] for share in (0.5, 0.99))
        print(f"{len(ms)} stops, {name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms, at most {ms[-1]:.0f} ms")


async def test_stops_while_messages_arrive(amount: Amount) -> None:
    """One after the other: each is heard, everywhere, and what was asked of the provider is closed."""
    took: list[Took] = []
    async with talking() as (both, upstream):
        for _ in range(amount(1, 20)):
            took += [await stopped(both, one) for one in await wave(both, upstream, _WAVE)]
            await both.over(_SOON_S)
            await both.judge()
        assert both.judged.outcomes == Counter(stopped=len(took))
    report(took)


async def test_stops_while_no_message_arrives(amount: Amount) -> None:
    """Neither process is told anything by Redis, and yet none is lost: a stop is found with the next word, or with
    the next renewal, and its end by whoever shows it."""
    took: list[Took] = []
    async with talking() as (both, upstream):
        client = both.redis.client()
        # Nobody may listen any more, and nobody may begin to.
        await client.execute_command("ACL", "SETUSER", "default", "-subscribe")  # type: ignore[no-untyped-call]
        await client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")  # type: ignore[no-untyped-call]
        await client.aclose()
        for worker in (both.one, both.other):
            async with asyncio.timeout(_SOON_S):
                while (await request(worker.address, "GET", "/readyz")).status != 503:
                    pass
        for _ in range(amount(1, 20)):
            stopping = await wave(both, upstream, _WAVE)
            took += await asyncio.gather(*(stopped(both, one) for one in stopping))
            await both.over(_SOON_S)
            await both.judge()
        assert both.judged.outcomes == Counter(stopped=len(took))
    report(took)
    assert max(max(one) for one in took) <= _UNHEARD_S
