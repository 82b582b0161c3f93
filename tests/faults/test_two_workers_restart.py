"""One process after the other is restarted under those who watch: what it drives ends where it is, and nobody notices
more than a goodbye.

The provider is scripted here: what a process drives goes on, for minutes if need be, until that process has been told
to leave.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from tests.history.rows import Row
from tests.server.running import Worker, running
from tests.support.raw import HttpConnection, WireName
from tests.support.server import Address
from tests.upstream import Exchange, Reply, Upstream, Wait, chat

from .crowd import Connected, Socket, Witness, manner
from .leaving import EXITS_WITHIN_S, allow_descriptors, draining, gone, spaced
from .pair import Pair, pair

Amount = Callable[[int, int], int]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_WIRES: tuple[WireName, ...] = ("sse", "ndjson", "ws-json", "ws-msgpack")
_MANNERS = {"complete", "complete after a goodbye", "closed with 1012", "closed with 1012 after a goodbye"}
_SPREAD_MS = 2_000
_BEFORE, _AFTER = [f"{n} before, " for n in range(10)], [f"{n} after, " for n in range(10)]


class Traveller(Witness):
    """A witness that goes from one process to the next as it is sent away, at once and not when it was asked to."""

    # A socket stays when its answer is over, until its process leaves.
    patience_s = 500.0

    def __init__(self, generation: str, name: str, rows: list[Row], wire: WireName, homes: Sequence[Address]) -> None:
        super().__init__(generation, name, rows, _connected(homes[0], wire))
        self.manners: Counter[str] = Counter()
        self._wire, self._homes = wire, homes

    async def travel(self) -> None:
        """Watch to the end, and a socket until it is closed."""
        for home in self._homes:
            self.connected = _connected(home, self._wire)
            end = await self.watch_over(self.connected)
            assert end.error is None, end
            self.manners[manner(self, end)] += 1
            if self.finished:
                return
        raise AssertionError(f"{self.name} was left with nowhere to go: {self.controls}")


def _connected(home: Address, wire: WireName) -> Connected:
    return Socket(home, wire) if wire.startswith("ws") else HttpConnection(home, wire)


class Tour:
    """All travellers, and the generations they watch.

    Args:
        takes_s: How long an answer takes; without it, until its process has been told to leave.
    """

    def __init__(self, takes_s: float | None = None) -> None:
        self._every_s = 0.1 if takes_s is None else takes_s / len([*_BEFORE, *_AFTER])
        self._leaves_within_s = EXITS_WITHIN_S + (takes_s or 0)
        # By the word that the prompt of a generation is: lets it come to its end.
        self._go = {word: asyncio.Event() for word in ("first", "second", "third")}
        if takes_s is not None:
            for go in self._go.values():
                go.set()
        self.travellers: list[Traveller] = []
        self._travelling: list[asyncio.Task[None]] = []

    def reply(self, exchange: Exchange) -> Reply:
        """Some of an answer, and the rest behind `go`."""
        said, first = chat.text(*_BEFORE, *_AFTER), 1 + len(_BEFORE)
        wait = Wait(self._go[exchange.body["messages"][-1]["content"]])
        return Reply([*spaced(said[:first], self._every_s), wait, *spaced(said[first:], self._every_s)])

    async def join(self, both: Pair, generations: Sequence[str], size: int, *routes: Sequence[Worker]) -> None:
        """Have so many watch these, on all wires, on every one of these routes; return when each has some of it."""
        ways = itertools.cycle(itertools.product(generations, routes, _WIRES))
        joined = []
        for number, (generation, route, wire) in zip(range(size), ways, strict=False):
            homes = [worker.address for worker in route]
            name = f"{number} {wire} of {len(homes)}"
            joined.append(Traveller(generation, name, both.judged.rows(generation), wire, homes))
        self._travelling += [asyncio.create_task(one.travel()) for one in joined]
        self.travellers += joined
        async with asyncio.timeout(60):
            await asyncio.gather(*(one.begun.wait() for one in joined))

    async def over(self) -> Counter[str]:
        """Wait until all have come to their end; in which manners they were left."""
        async with asyncio.timeout(60):
            await asyncio.gather(*self._travelling)
        assert {each.text for each in self.travellers} == {"".join([*_BEFORE, *_AFTER])}
        assert [each.name for each in self.travellers if each.resets] == []
        manners = sum((one.manners for one in self.travellers), Counter[str]())
        assert manners.keys() <= _MANNERS
        return manners

    async def leave(self, worker: Worker, word: str) -> None:
        """Restart a process: it waits for what it drives, and then ends in time and in order."""
        worker.process.signal()
        await draining(worker.address)
        self._go[word].set()
        await gone(worker.process, asyncio.get_running_loop().time(), self._leaves_within_s)


async def replace(both: Pair, tour: Tour, some: int, crowd: int) -> None:
    """Replace both processes, each driving so many, one after the other under so many who watch."""
    one, other = both.one, both.other
    generations = await both.start(one, some, model="openai/m", prompt="first")
    generations += await both.start(other, some, model="openai/m", prompt="second")
    await tour.join(both, generations, crowd // 2, (one, other), (other,))
    await tour.leave(one, "first")
    async with running(**both.env) as new:
        both.processes.append(new.process)
        generations = await both.start(new, some, model="openai/m", prompt="third")
        await tour.join(both, generations, crowd - crowd // 2, (other, new), (new,))
        await tour.leave(other, "second")
        await tour.leave(new, "third")


async def test_one_after_the_other(amount: Amount) -> None:
    """Two processes are replaced under a crowd, half of it with each; those who are sent away come back elsewhere."""
    size, some = amount(50, 1_000), amount(3, 8)
    allow_descriptors(8 * size)
    tour = Tour()
    async with Upstream(tour.reply) as upstream, pair(OPENAI_BASE_URL=upstream.url) as both:
        await replace(both, tour, some, size)
        manners = await tour.over()
        byes = [
            control["retry_ms"] for each in tour.travellers for control in each.controls if control["type"] == "bye"
        ]
        print(f"{size} observers of {3 * some} generations: {dict(manners)}, {len(byes)} goodbyes")
        assert max(byes) - min(byes) >= _SPREAD_MS
        assert {each.connections for each in tour.travellers} == {1, 2}
        await both.judge()
        assert both.judged.outcomes == Counter(completed=3 * some)


async def test_answers_that_take_minutes(amount: Amount) -> None:
    """Answers that are slow, and not held back, go on in a process that has been told to leave until they are over."""
    takes_s, some = amount(4, 180), amount(2, 20)
    tour = Tour(takes_s)
    async with Upstream(tour.reply) as upstream, pair(OPENAI_BASE_URL=upstream.url) as both:
        await replace(both, tour, some, 10 * some)
        print(f"{3 * some} generations of {takes_s} s: {dict(await tour.over())}")
        await both.judge()
        assert both.judged.outcomes == Counter(completed=3 * some)
