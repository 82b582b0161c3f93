"""A thousand inputs of the fuzzer, and that it finds what it looks for."""

import random
from typing import Any

import pytest

from realtime.errors import RealtimeError
from realtime.events import Extra, Text
from realtime.providers.base import Ended
from realtime.providers.event_stream import ServerEvent
from realtime.providers.upstream import Item

from .fuzz import WIRES, FindingError, Told, Wire, judge, run, translated


@pytest.mark.parametrize("seed", [1, 2])
def test_a_thousand_inputs(seed: int) -> None:
    """Mutated streams become events that can be encoded and one error at most, however they are cut."""
    told = run(500, seed)
    assert told.ends.total() == 500
    # Neither is every input refused at once nor does every one go through.
    assert told.ends["upstream_protocol"] > 20
    assert told.ends["ended"] > 20
    assert told.events > 500


@pytest.mark.parametrize("name", sorted(WIRES))
def test_the_samples_are_understood(name: str) -> None:
    """What is mutated is a stream that the translator takes, for the greater part to its end."""
    ends = [translated(WIRES[name], [sample]).end for sample in WIRES[name].samples]
    assert set(ends) <= {"ended", "cut short", "upstream_overloaded"}
    assert ends.count("ended") > len(ends) * 3 / 4


class _Broken:
    """A translator that goes wrong in a way of the test's choosing."""

    def __init__(self, item: Item | None = None, error: Exception | None = None, *, counts: bool = False) -> None:
        self.ended: Ended | None = None
        self.done = False
        self.unknown: dict[str, int] = {}
        self._item, self._error, self._counts = item, error, counts

    def take(self, event: ServerEvent, batch: list[Item]) -> None:
        if self._error is not None:
            raise self._error
        if self._item is not None:
            batch.append(self._item)
        if self._counts:
            self.unknown = {str(number): 1 for number in range(1000)}


_DEEP: Any = []
for _ in range(5000):
    _DEEP = [_DEEP]


@pytest.mark.parametrize(
    ("broken", "finding"),
    [
        ({"error": KeyError("x")}, "KeyError escaped"),
        ({"error": RealtimeError("internal")}, "the code is internal"),
        ({"item": Extra("x", 2**70)}, "OverflowError"),
        ({"item": Extra("x", _DEEP)}, "RecursionError"),
        ({"item": Extra("x", (1,))}, "does not survive"),
        ({"item": Text("x" * 10_000)}, "bytes became"),
        ({"counts": True}, "more kinds"),
    ],
)
def test_what_it_looks_for_is_found(broken: dict[str, Any], finding: str) -> None:
    """Each thing that a translator must not do is a finding."""
    wire = Wire(lambda: _Broken(**broken), [])
    with pytest.raises(FindingError, match=finding):
        judge(wire, b"data: {}\n\n", random.Random(1), Told())


def test_a_stream_that_depends_on_its_cut_is_found() -> None:
    """A translator that hears something else when the network cuts differently is a finding."""
    count = iter(range(100))

    def made() -> _Broken:
        return _Broken(Text(str(next(count))))

    with pytest.raises(FindingError, match="another stream"):
        judge(Wire(made, []), b"data: {}\n\n", random.Random(1), Told())
