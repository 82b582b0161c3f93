"""Two processes with one Redis: what is started in one is watched and stopped in the other, and outlives the first."""

import asyncio
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.http import stop
from tests.support.raw import WIRES
from tests.upstream import STALL, Reply, Upstream, chat

from .leaving import spaced
from .pair import pair

Amount = Callable[[int, int], int]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# Lease, two sweeps a renewal apart, and what the last of them takes; the figure is 15 s on a machine of one's own.
_LOST_S = 25.0
# From the moment it goes on until what it asked for is closed; the figure is 1 s.
_CLOSED_S = 5.0


def endless(rate: float) -> dict[str, Any]:
    """A request for what only a stop ends."""
    return {"model": "demo/default", "options": {"rate": rate, "tokens": 100_000}}


async def test_watched_in_both_and_stopped_in_the_other() -> None:
    """Every observer has the same events, wherever it is and whatever its wire, and all are told of the stop."""
    async with pair() as both:
        (generation,) = await both.start(both.one, **endless(50))
        readers = [both.watch(generation, wire, worker) for wire in WIRES for worker in (both.one, both.other)]
        await both.begun()
        assert (await stop(both.other.address, generation))["state"] in {"stopping", "finished"}
        await both.over(_LOST_S)
        assert len({reader.text for reader in readers}) == 1
        assert {reader.events[-1]["stopped_by"] for reader in readers} == {"owner"}
        assert [reader.resets for reader in readers] == [[]] * len(readers)
        await both.judge()


async def test_a_worker_that_is_killed(amount: Amount) -> None:
    """What it drove ends once, as lost, with everything that was said before, for everyone: who watches in the other
    process, who watched in the dead one and comes to the other, and who comes there only then. Each generation says
    five words a second: two cores carry Redis, both processes, and all who watch."""
    count = amount(20, 200)
    async with pair() as both:
        generations = await both.start(both.one, count, **endless(5))
        for number, generation in enumerate(generations):
            wires = [WIRES[(number + turn) % len(WIRES)] for turn in range(3)]
            both.watch(generation, wires[0], both.other)
            both.watch(generation, wires[1], both.one, both.other)
        await both.begun()
        both.one.process.signal(signal.SIGKILL)
        killed = asyncio.get_running_loop().time()
        for number, generation in enumerate(generations):
            both.watch(generation, WIRES[number % len(WIRES)], both.other)
        await both.over(_LOST_S)
        took = [reader.told_at - killed for reader in both.readers]
        print(f"{count} generations ended {min(took):.1f} to {max(took):.1f} s after their process")
        last = [reader.events[-1] for reader in both.readers]
        assert {(event["outcome"], event["error"]["code"]) for event in last} == {("failed", "driver_lost")}
        assert [reader.name for reader in both.readers if reader.resets] == []
        await both.judge()
        assert both.judged.outcomes == Counter(failed=count)


async def test_a_worker_that_stands_still(amount: Amount) -> None:
    """It is replaced while it does, and when it goes on it adds nothing, closes what it asked of the provider, and
    tells who stayed with it what all others were told. Each generation says five words a second."""
    count = amount(20, 200)
    said = chat.text(*(f"{n} " for n in range(1000)), finish=None)
    upstream = Upstream(Reply([*spaced(said, 0.2), STALL]))
    async with upstream, pair(OPENAI_BASE_URL=upstream.url) as both:
        generations = await both.start(both.one, count, model="openai/m")
        elsewhere = [
            both.watch(generation, WIRES[number % len(WIRES)], both.other)
            for number, generation in enumerate(generations)
        ]
        for number, generation in enumerate(generations):
            both.watch(generation, WIRES[(number + 1) % len(WIRES)], both.one)
        await both.begun()
        both.one.process.signal(signal.SIGSTOP)
        async with asyncio.timeout(_LOST_S):
            await asyncio.gather(*(reader.ended.wait() for reader in elsewhere))
        assert both.other.process.log.count(" taken over ") == count
        both.one.process.signal(signal.SIGCONT)
        continued = asyncio.get_running_loop().time()
        async with asyncio.timeout(_CLOSED_S):
            await asyncio.gather(*(exchange.closed.wait() for exchange in upstream.exchanges))
        await both.over(_LOST_S)
        closed = max(exchange.closed_at or 0.0 for exchange in upstream.exchanges) - continued
        told = max(reader.told_at for reader in both.readers) - continued
        print(f"{count} closed {closed:.2f} s after it went on, and those who stayed were told after {told:.1f} s")
        assert both.one.process.log.count(" lost to another process ") == count
        assert [reader.name for reader in both.readers if reader.resets] == []
        await both.judge()
        assert both.judged.outcomes == Counter(failed=count)
