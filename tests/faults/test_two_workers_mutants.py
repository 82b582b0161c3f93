"""What the checker must find in a history of two processes: whatever is made wrong with a true one, at any place.

The history is of three generations, each read in either process and by one who moves from one to the other: one ended
by itself, one was stopped from the other process, and of the third the process was killed. So that nobody waits for a
lease to run out, its lease is taken away.
"""

import asyncio
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from realtime.bus.redis.keys import log_keys
from realtime.principal import ANONYMOUS
from tests.history.anomalies import Name
from tests.history.checker import check
from tests.history.rows import Open, Received, Row, canonical
from tests.support.http import stop

from .leaving import settled
from .pair import Pair, pair
from .scene import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

_OVER_S = 30.0
# Older than any, and newer.
_EPOCHS = ("1", "zzzzzzzzzzz")

Histories = Sequence[list[Row]]
Change = Callable[[list[Row], int], list[Row]]


async def recorded() -> Histories:
    """The history of each generation, as it was."""
    async with pair() as both:
        ended, stopped, lost = [
            (await both.start(both.one, model="demo/default", options={"rate": 50, "tokens": tokens}))[0]
            for tokens in (60, 10_000, 10_000)
        ]
        for generation in (ended, stopped, lost):
            both.watch(generation, "sse", both.one, both.other)
            both.watch(generation, "ws-msgpack", both.other)
        moving = [asyncio.create_task(move(both, generation)) for generation in (ended, stopped, lost)]
        await both.begun()
        await stop(both.other.address, stopped)
        await asyncio.gather(*moving[:2])
        # Who is killed between the end and its record leaves none.
        await until(lambda: len(settled(both.one.process)) == 2, lambda: "two were never settled")
        both.one.process.signal(signal.SIGKILL)
        keys, client = log_keys(ANONYMOUS.tenant, lost), both.redis.client()
        await client.zadd(keys.leases, {keys.member: 1})
        await client.aclose()
        await both.over(_OVER_S)
        await moving[2]
        await both.recorded()
        return [list(both.judged.rows(generation)) for generation in both.generations]


async def move(both: Pair, generation: str) -> None:
    """Read some of it in the one process, more in the other, and the rest there on another wire."""
    reader = both.reader(generation, "moving")
    await reader.watch(both.one.address, "ndjson", count=10)
    await reader.watch(both.other.address, "ws-json", count=10)
    await reader.read("sse", both.other.address)


@pytest.fixture(scope="module")
def histories() -> Histories:
    """Recorded once."""
    return asyncio.run(recorded())


def dropped(rows: list[Row], at: int) -> list[Row]:
    """An event that somebody was not shown."""
    return rows[:at] + rows[at + 1 :]


def doubled(rows: list[Row], at: int) -> list[Row]:
    """An event that somebody was shown twice."""
    return [*rows[: at + 1], *rows[at:]]


def swapped(rows: list[Row], at: int) -> list[Row]:
    """Two events in the wrong order; of the last one nothing is changed but its place, behind the end."""
    later = next((place for place in range(at + 1, len(rows)) if is_shown_to(rows[place], rows[at])), None)
    if later is None:
        return doubled(rows, at)
    changed = list(rows)
    changed[at], changed[later] = rows[later], rows[at]
    return changed


def ended_again(rows: list[Row], at: int) -> list[Row]:
    """A second end, shown to one who is shown this."""
    row = rows[at]
    assert isinstance(row, Received)
    last = next(place for place in range(at, len(rows)) if is_shown_to(rows[place], row) and is_end(rows[place]))
    end = rows[last]
    assert isinstance(end, Received)
    again = replace(end, seq=end.seq + 1, value=canonical({"type": "finished", "outcome": "completed", "again": True}))
    return [*rows[: last + 1], again, *rows[last + 1 :]]


def spliced(epoch: str) -> Change:
    """One event of another epoch, and nobody was told to begin again."""

    def change(rows: list[Row], at: int) -> list[Row]:
        row = rows[at]
        assert isinstance(row, Received)
        return [*rows[:at], replace(row, epoch=epoch), *rows[at + 1 :]]

    return change


def gone_over(epoch: str) -> Change:
    """All from here on of another epoch, and nobody was told to begin again."""

    def change(rows: list[Row], at: int) -> list[Row]:
        return [*rows[:at], *(in_epoch(row, rows[at], epoch) for row in rows[at:])]

    return change


def in_epoch(row: Row, like: Row, epoch: str) -> Row:
    """The row as it would be in that epoch, if it is of the observer of another row."""
    assert isinstance(like, Received)
    if isinstance(row, Received) and row.observer == like.observer:
        return replace(row, epoch=epoch)
    if isinstance(row, Open) and row.observer == like.observer and row.cursor is not None:
        return replace(row, cursor=(epoch, row.cursor[1]))
    return row


def is_shown_to(row: Row, like: Row) -> bool:
    """Whether it is shown to the same observer."""
    return isinstance(row, Received) and isinstance(like, Received) and row.observer == like.observer


def is_end(row: Row) -> bool:
    """Whether it is the end, shown to somebody."""
    return isinstance(row, Received) and row.terminal


MUTANTS: dict[str, tuple[Change, set[Name]]] = {
    "dropped": (dropped, {"poll-skip", "int-poll-skip", "missing-terminal", "wrong-cursor"}),
    "doubled": (doubled, {"duplicate"}),
    "swapped": (swapped, {"nonmonotonic", "not-a-prefix", "duplicate"}),
    "a second end": (ended_again, {"second-terminal"}),
    "spliced from an older epoch": (spliced(_EPOCHS[0]), {"phantom-read"}),
    "spliced from a newer epoch": (spliced(_EPOCHS[1]), {"phantom-read"}),
    "gone over to an older epoch": (gone_over(_EPOCHS[0]), {"phantom-read"}),
    "gone over to a newer epoch": (gone_over(_EPOCHS[1]), {"phantom-read"}),
}


def test_the_true_history(histories: Histories) -> None:
    """Nothing is wrong with it, and it is what it is said to be: three ends, one of them in a second epoch."""
    assert [check(rows) for rows in histories] == [[], [], []]
    epochs = [{row.epoch for row in rows if isinstance(row, Received)} for rows in histories]
    assert [len(one) for one in epochs] == [1, 1, 2]


@pytest.mark.parametrize(("change", "names"), MUTANTS.values(), ids=MUTANTS)
def test_each_mutant_is_caught_at_every_place(histories: Histories, change: Change, names: set[Name]) -> None:
    """Whichever event of whichever observer it is made with, it is found, and called what it is."""
    for rows in histories:
        for at, row in enumerate(rows):
            if isinstance(row, Received):
                found = {anomaly.name for anomaly in check(change(rows, at))}
                assert found & names, (at, row, found)


@pytest.mark.parametrize("epoch", _EPOCHS)
def test_another_epoch_is_caught_without_what_was_written(histories: Histories, epoch: str) -> None:
    """Observers alone tell as much: who goes over to a branch that others know nothing of is found by its place."""
    for rows in histories:
        seen: list[Row] = [row for row in rows if isinstance(row, Open | Received)]
        for at, row in enumerate(seen):
            if isinstance(row, Received) and not row.terminal:
                found = {anomaly.name for anomaly in check(spliced(epoch)(seen, at), ledger=False)}
                assert "not-a-prefix" in found, (at, row, found)
