"""Places at deployments: never more than there are, in turn, to whoever can use them, and none is lost."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.deployments import Deployment
from realtime.errors import RealtimeError
from realtime.places import Places
from tests.unit.scripted import ScriptedProvider


def deployment(name: str = "one", max_live: int | None = 1) -> Deployment:
    return Deployment(ScriptedProvider(), alias="a", name=name, max_live=max_live)


def unheard(_: int) -> None:
    """Told nothing."""


class Line:
    """Those that wait, in the order they came; each with what it was told."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.told: list[list[int]] = []
        self.tasks: list[asyncio.Task[Deployment]] = []

    async def join(self, deployments: Sequence[Deployment]) -> asyncio.Task[Deployment]:
        said: list[int] = []
        self.told.append(said)
        task = asyncio.create_task(self.places.take(deployments, said.append))
        self.tasks.append(task)
        await asyncio.sleep(0)
        return task


async def test_the_least_busy_is_taken() -> None:
    """By share of its bound, and the first of equals."""
    small, large, places = deployment("small", 2), deployment("large", 10), Places()
    taken = [await places.take([small, large], unheard) for _ in range(4)]
    assert [one.name for one in taken] == ["small", "large", "large", "large"]


async def test_without_bounds_they_are_used_in_turn() -> None:
    """Several keys of one model share what there is."""
    two = [deployment("a", None), deployment("b", None)]
    places = Places()
    assert [(await places.take(two, unheard)).name for _ in range(4)] == ["a", "b", "a", "b"]


async def test_a_place_goes_to_who_waits_longest() -> None:
    """And each is told where it stands, at once."""
    places, one = Places(), deployment()
    await places.take([one], unheard)
    line = Line(places)
    first, second = await line.join([one]), await line.join([one])
    assert line.told == [[1], [2]]
    places.give_back(one)
    assert await first is one
    assert not second.done()
    places.give_back(one)
    assert await second is one
    assert (one.live, places.waiting) == (1, 0)


async def test_who_moves_up_is_told() -> None:
    """A moment later, and only once."""
    places, one = Places(), deployment()
    await places.take([one], unheard)
    first = await Line(places).join([one])
    said: list[int] = []
    moved = asyncio.Event()

    def told(position: int) -> None:
        said.append(position)
        if position == 1:
            moved.set()

    second = asyncio.create_task(places.take([one], told))
    await asyncio.sleep(0)
    places.give_back(one)
    await first
    await asyncio.wait_for(moved.wait(), 20)
    assert said == [2, 1]
    second.cancel()


async def test_a_place_passes_by_those_that_cannot_use_it() -> None:
    """Someone further back may; and the position counts only those that want the same."""
    places, one, other = Places(), deployment("one"), deployment("other")
    for each in (one, other):
        await places.take([each], unheard)
    line = Line(places)
    first, second = await line.join([one]), await line.join([other])
    assert line.told == [[1], [1]]
    places.give_back(other)
    assert await second is other
    assert not first.done()
    first.cancel()


async def test_the_line_is_bounded() -> None:
    """One more is refused, with the limit."""
    places, one = Places(max_waiting=1), deployment()
    await places.take([one], unheard)
    waiting = await Line(places).join([one])
    with pytest.raises(RealtimeError) as refused:
        await places.take([one], unheard)
    assert (refused.value.code, refused.value.error.limit) == ("overloaded", 1)
    waiting.cancel()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=60))
def test_no_place_is_lost_or_given_twice(steps: list[tuple[int, int]]) -> None:
    """Whoever comes, leaves or is cancelled at whatever moment, with a place in hand or on its way."""

    async def run() -> None:
        places = Places(max_waiting=50)
        two = [deployment("a", 1), deployment("b", 2)]
        tasks: list[asyncio.Task[Deployment]] = []
        for what, which in steps:
            if what <= 1:
                tasks.append(asyncio.create_task(places.take(two[: 1 + which % 2], unheard)))
            elif tasks:
                await _end(places, tasks.pop(which % len(tasks)))
            if what:
                await asyncio.sleep(0)
            assert all(one.live <= (one.max_live or 0) for one in two)
        for task in tasks:
            await _end(places, task)
        assert ([one.live for one in two], places.waiting) == ([0, 0], 0)

    async def _end(places: Places, task: asyncio.Task[Deployment]) -> None:
        """Give a place back, or leave the line."""
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
        if not task.cancelled():
            places.give_back(task.result())

    asyncio.run(run())
