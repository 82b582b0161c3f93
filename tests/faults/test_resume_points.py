"""Thousands of readers leave at a random point and come back on a random wire: every transcript is the same, to a byte.

They leave between two events, in the midst of one, in the midst of a head; by a close, a reset, a half-close; while the
generation runs, while it is being stopped, and after its end. Writers, readers and the ledger are in one history, and
so are the two clients that are shipped.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from random import Random
from typing import Any, NamedTuple

import pytest

from tests.history.checker import check
from tests.history.rows import canonical
from tests.support.http import BrokenError, read_text, start, stop
from tests.support.observer import Observer
from tests.support.proxy import Fault, proxied
from tests.support.raw import WIRES
from tests.support.recording import Recording
from tests.support.server import Address, RunningServer, serving
from transports.client import Client

from .chance import chance
from .client_observer import ClientObserver

Amount = Callable[[int, int], int]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

# Generations at once, and readers of each.
_GENERATIONS, _READERS = 3, 16
_OPTIONS: tuple[dict[str, Any], ...] = ({}, {"pace": "10000,3"}, {"flush_ms": 5})


class Glance(NamedTuple):
    """What a reader of the text wire was given after a place."""

    seq: int
    text: bytes
    complete: bool


class Ground:
    """A server, a network in front of it that cuts, and a history.

    Attributes:
        cut: Where each connection ends at a random byte, or not.
    """

    def __init__(self, server: RunningServer, cut: Address, recording: Recording, rng: Random) -> None:
        self.server, self.cut, self.recording, self.rng = server, cut, recording, rng
        self.rows = recording.rows

    async def begin(self) -> str:
        """Start a generation of any kind and pace."""
        rng = self.rng
        model = f"demo/{rng.choice(('default', 'reasoning', 'tools', 'json'))}"
        options = {
            "tokens": rng.randint(1, 80),
            "rate": rng.choice((200, 400, 2000, 50_000)),
            "seed": rng.getrandbits(30),
        }
        return await start(self.server.address, model=model, options=options)

    async def maybe_stop(self, generation: str) -> None:
        """Stop one generation in four, somewhere."""
        log = await self.server.log(generation)
        seq = self.rng.randint(1, 60)
        if self.rng.random() < 0.25:
            while log.head < seq and log.finished is None:
                await log.wait(log.head)
            await stop(self.server.address, generation)

    async def judge(self, generations: Iterable[str]) -> dict[str, Observer]:
        """Hold the history to everything and begin a new one; somebody who was never interrupted, by generation."""
        whole = {generation: Observer(generation, "whole", self.rows) for generation in generations}
        for generation, observer in whole.items():
            await self.server.finished(generation)
            assert (await observer.watch(self.server.address, "ndjson")).why == "ended"
        await self.recording.settled(len(whole))
        assert check(self.rows) == []
        self.rows.clear()
        return whole


def random_fault(rng: Random) -> Fault:
    """A cut in the head, soon or late, of any kind; or none."""
    after = rng.choice((None, rng.randrange(300), rng.randrange(2000), rng.randrange(10_000)))
    return Fault(after, rng.choice(("close", "reset", "half_close")))


@pytest.fixture(name="ground")
async def _ground() -> AsyncIterator[Ground]:
    rng, recording = chance(), Recording()
    async with (
        serving(prepare=recording.attach, retry_ms=1) as server,
        proxied(server.address, lambda: random_fault(rng)) as cutting,
    ):
        yield Ground(server, cutting.address, recording, rng)


async def in_rounds(
    ground: Ground, points: int, walk: Callable[[str, int], Awaitable[int]], readers: int = _READERS
) -> AsyncIterator[dict[str, Observer]]:
    """Let readers walk, a few generations at a time, until they have left and come back so often."""
    done = 0
    while done < points:
        generations = [await ground.begin() for _ in range(_GENERATIONS)]
        stopping = [asyncio.create_task(ground.maybe_stop(generation)) for generation in generations]
        walks = [walk(generation, number) for generation in generations for number in range(readers)]
        done += sum(await asyncio.gather(*walks))
        await asyncio.gather(*stopping)
        yield await ground.judge(generations)


async def test_readers_of_every_wire(ground: Ground, amount: Amount) -> None:
    """Plain readers, on another wire each time, and on the text wire in between."""
    rng, address = ground.rng, ground.server.address
    readers: list[Observer] = []
    glances: list[tuple[str, Glance]] = []

    async def walk(generation: str, number: int) -> int:
        observer, points, breaks = Observer(generation, f"reader {number}", ground.rows), rng.randint(1, 6), 0
        while not observer.finished:
            wire, options, place = rng.choice(WIRES), rng.choice(_OPTIONS), rng.choice((address, ground.cut))
            if breaks == points:
                await observer.follow(address, wire, **options)
                break
            if rng.random() < 0.1:
                glances.extend((generation, glance) for glance in await glance_at_text(place, observer))
            count = rng.randrange(25) if place == address else None
            end = await observer.watch(place, wire, count=count, **options)
            assert end.error is None, end
            breaks += end.why != "ended"
        readers.append(observer)
        return breaks

    async for whole in in_rounds(ground, amount(1_500, 10_000), walk):
        for observer in readers:
            assert_same(observer, whole[observer.generation])
        for generation, glance in glances:
            assert_told(glance, whole[generation])
        readers.clear()
        glances.clear()


async def glance_at_text(address: Address, observer: Observer) -> list[Glance]:
    """What the text wire has for this observer; nothing when it was cut before it began."""
    seq = 0 if observer.cursor is None else int(observer.cursor.rpartition("-")[2])
    after: dict[str, Any] = {} if observer.cursor is None else {"after": observer.cursor}
    try:
        answer = await read_text(address, observer.generation, **after)
    except BrokenError:
        return []
    assert answer.status == 200
    return [Glance(seq, answer.body, answer.complete)]


def assert_same(observer: Observer, whole: Observer) -> None:
    """The same events, and on the wires of JSON the same bytes, without a reset."""
    assert observer.resets == []
    assert observer.events == whole.events
    for raw, expected in zip(observer.raws, whole.raws, strict=True):
        assert raw in {None, expected}


def assert_told(glance: Glance, whole: Observer) -> None:
    """All of the text after that place, or a part of it that does not pretend to be all."""
    text = "".join(event["text"] for event in whole.events[glance.seq :] if event["type"] == "text").encode()
    assert glance.text == text if glance.complete else text.startswith(glance.text)


async def test_the_python_client(ground: Ground, amount: Amount) -> None:
    """The client that is shipped, with both codecs: cut by the network, cancelled in a wait, its wire changed."""
    followers: list[tuple[str, ClientObserver]] = []
    async with (
        Client(ground.server.url, jitter=lambda: 0.0) as plain,
        Client(ground.cut.url, jitter=lambda: 0.0) as cut,
        Client(ground.cut.url, codec="msgpack", jitter=lambda: 0.0) as packed,
    ):

        async def walk(generation: str, number: int) -> int:
            observer = ClientObserver(generation, f"client {number}", ground.rows, ground.rng)
            await observer.follow([plain, cut, packed], ground.rng.randint(1, 4))
            followers.append((generation, observer))
            return observer.breaks

        async for whole in in_rounds(ground, amount(500, 3_000), walk):
            for generation, observer in followers:
                assert observer.resets == 0
                assert observer.values == [canonical(event) for event in whole[generation].events]
            followers.clear()
