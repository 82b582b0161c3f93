"""Thousands of readers leave at a random point and come back on a random wire: every transcript is the same, to a byte.

They leave between two events, in the midst of one, in the midst of a head; by a close, a reset, a half-close; while the
generation runs, while it is being stopped, and after its end. Writers, readers and the ledger are in one history.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from tests.support.http import BrokenError, read_text
from tests.support.observer import Observer
from tests.support.raw import WIRES
from tests.support.server import Address

from .ground import each, walking

Amount = Callable[[int, int], int]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

_OPTIONS: tuple[dict[str, Any], ...] = ({}, {"pace": "10000,3"}, {"flush_ms": 5})


class Glance(NamedTuple):
    """What a reader of the text wire was given after a place."""

    generation: str
    seq: int
    text: bytes
    complete: bool


async def test_readers_of_every_wire(amount: Amount) -> None:
    """They go on over another wire each time, and on the text wire in between."""
    readers: list[Observer] = []
    glances: list[Glance] = []
    met: set[tuple[str, str]] = set()
    async with walking() as ground:
        rng, address = ground.rng, ground.server.address

        async def walk(generation: str, number: int) -> int:
            observer, points, breaks = Observer(generation, f"reader {number}", ground.rows), rng.randint(1, 6), 0
            readers.append(observer)
            while not observer.finished:
                wire, options, place = rng.choice(WIRES), rng.choice(_OPTIONS), rng.choice((address, ground.cut))
                if breaks == points:
                    await observer.follow(address, wire, **options)
                    break
                if rng.random() < 0.1:
                    glances.extend(await glance_at_text(place, observer))
                count = rng.randrange(25) if place == address else None
                end = await observer.watch(place, wire, count=count, **options)
                assert end.error is None, end
                breaks += end.why != "ended"
                met.add((wire, end.why))
            return breaks

        async for whole in ground.rounds(amount(1_500, 10_000), each(walk)):
            for observer in readers:
                assert_same(observer, whole[observer.generation])
            for glance in glances:
                assert_told(glance, whole[glance.generation])
            readers.clear()
            glances.clear()
    assert met >= {(wire, why) for wire in WIRES for why in ("cut", "left", "ended")}


async def glance_at_text(address: Address, observer: Observer) -> list[Glance]:
    """What the text wire has for this observer; nothing when it was cut before it began."""
    seq = 0 if observer.cursor is None else int(observer.cursor.rpartition("-")[2])
    after: dict[str, Any] = {} if observer.cursor is None else {"after": observer.cursor}
    try:
        answer = await read_text(address, observer.generation, **after)
    except BrokenError:
        return []
    assert answer.status == 200
    return [Glance(observer.generation, seq, answer.body, answer.complete)]


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
