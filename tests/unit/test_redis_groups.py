"""Many writers that have something to say at once: carried in groups, some of which may fail."""

from collections.abc import Sequence
from typing import Any

import pytest

from realtime.bus.base import Bus, Writer
from realtime.errors import RealtimeError
from realtime.events import Text

from .logs import DONE
from .test_bus import created, meta, visible
from .test_redis_forgetting import forgetful

_WRITERS, _WORDS = 9, 20


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two in a group."""
    monkeypatch.setattr("realtime.bus.redis.flusher._GROUP", 2)


async def writers(bus: Bus) -> list[Writer]:
    return [await created(bus, meta(number)) for number in range(1, _WRITERS + 1)]


async def said_and_ended(written: Sequence[Writer]) -> None:
    """Have all say as much, a word in turn, and see that each log has what it was given, and ends."""
    for word in range(_WORDS):
        for writer in written:
            writer.append(Text(f"{word} "))
        await visible(written[word % len(written)])
    for writer in written:
        await visible(writer)
        assert [entry.event for entry in writer.log.since(2)] == [Text(f"{word} ") for word in range(_WORDS)]
        assert await writer.seal(DONE) == "won"


async def test_all_of_them_are_carried() -> None:
    """Each has its own words in its own order."""
    async with forgetful() as (bus, _):
        await said_and_ended(await writers(bus))


async def test_a_group_that_fails_is_carried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether what it had to say was done or not; the others are not said twice."""
    async with forgetful() as (bus, _):
        written = await writers(bus)
        run_all, trips = bus._connections.run_all, 0

        async def failing(calls: Any) -> list[Any]:
            nonlocal trips
            trips += 1
            if trips % 7 == 3:
                raise RealtimeError("bus_unavailable")
            answers = await run_all(calls)
            if trips % 7 == 5:
                raise RealtimeError("bus_unavailable")
            return answers

        monkeypatch.setattr(bus._connections, "run_all", failing)
        await said_and_ended(written)
        assert trips > _WORDS
