"""The checker is itself checked: it passes what is right, and names each thing that is made wrong."""

import io
import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .anomalies import Name
from .checker import check
from .rows import Append, Close, Open, Received, Reset, Row, Settled, Stop, canonical, dump, load

G, EPOCH = "g1", "a0"
END = canonical({"id": "a0-6", "type": "finished", "outcome": "completed"})
VALUES = [*(f"value {n}" for n in range(1, 6)), END]


def written(epoch: str = EPOCH) -> list[Row]:
    """What a writer says of a log of six events."""
    return [Append(G, epoch, n, value, terminal=n == 6) for n, value in enumerate(VALUES, start=1)]


def read(observer: str, first: int, last: int, conn: int = 1, epoch: str = EPOCH) -> list[Row]:
    """One connection that is shown a range of it."""
    cursor = (epoch, first - 1) if first > 1 else None
    shown: list[Row] = [
        Received(observer, conn, G, epoch, n, VALUES[n - 1], terminal=n == 6) for n in range(first, last + 1)
    ]
    return [Open(observer, conn, G, cursor), *shown, Close(observer, conn, G, "ended" if last == 6 else "cut")]


SETTLED = Settled(G, "completed", 6)
GOOD: list[Row] = [
    *written(),
    *read("one", 1, 6),
    *read("two", 1, 3),
    *read("two", 4, 6, conn=2),
    *read("late", 5, 6),
    Open("last", 1, G, (EPOCH, 6)),
    Close("last", 1, G, "ended"),
    Stop(G, "finished"),
    SETTLED,
]


def names(rows: list[Row]) -> set[Name]:
    """The anomalies of a history, by name."""
    return {anomaly.name for anomaly in check(rows)}


def edit(change: Callable[[list[Row]], object]) -> list[Row]:
    """The good history with a change."""
    rows = list(GOOD)
    change(rows)
    return rows


def at(observer: str, seq: int) -> int:
    """Where the good history shows an event to an observer."""
    return next(
        index
        for index, row in enumerate(GOOD)
        if isinstance(row, Received) and (row.observer, row.seq) == (observer, seq)
    )


def swapped(rows: list[Row]) -> None:
    first, second = at("one", 3), at("one", 4)
    rows[first], rows[second] = rows[second], rows[first]


def shown(observer: str, seq: int, /, **changes: object) -> Row:
    """An event as the good history shows it, with changes."""
    return replace(GOOD[at(observer, seq)], **changes)  # type: ignore[arg-type]  # fields of a row, by name


def appended(seq: int, /, **changes: object) -> Row:
    """An append of the good history, with changes."""
    return replace(GOOD[seq - 1], **changes)  # type: ignore[arg-type]  # fields of a row, by name


MUTANTS: dict[str, tuple[list[Row], Name]] = {
    "drop one": (edit(lambda rows: rows.pop(at("one", 3))), "int-poll-skip"),
    "drop the first": (edit(lambda rows: rows.pop(at("one", 1))), "poll-skip"),
    "drop one after a resume": (edit(lambda rows: rows.pop(at("two", 4))), "poll-skip"),
    "duplicate one": (edit(lambda rows: rows.insert(at("one", 3), shown("one", 3))), "duplicate"),
    "swap two": (edit(swapped), "nonmonotonic"),
    "repeat one after a resume": (edit(lambda rows: rows.insert(at("two", 4), shown("two", 3, conn=2))), "duplicate"),
    "go back after a resume": (edit(lambda rows: rows.insert(at("two", 4), shown("two", 2, conn=2))), "nonmonotonic"),
    "wrong value for one observer": (
        edit(lambda rows: rows.__setitem__(at("one", 3), shown("one", 3, value="other"))),
        "inconsistent-offset",
    ),
    "a text that is not the log's": (
        edit(lambda rows: rows.__setitem__(at("one", 3), shown("one", 3, value="other"))),
        "not-a-prefix",
    ),
    "a branch without a reset": (
        edit(lambda rows: rows.__setitem__(at("one", 3), shown("one", 3, epoch="a1"))),
        "not-a-prefix",
    ),
    "acknowledged and nowhere": (
        [*written(), *[row for row in GOOD if isinstance(row, Received) and row.seq != 3], SETTLED],
        "lost-write",
    ),
    "refused and yet shown": (
        edit(lambda rows: rows.__setitem__(2, appended(3, result="fail"))),
        "aborted-read",
    ),
    "written by nobody": (edit(lambda rows: rows.pop(2)), "phantom-read"),
    "forge a second terminal": (
        edit(lambda rows: rows.insert(at("one", 6) + 1, shown("one", 6, seq=7))),
        "second-terminal",
    ),
    "another end at the same place": (
        edit(lambda rows: rows.insert(6, appended(6, value="another end"))),
        "second-terminal",
    ),
    "an event after the terminal": (
        edit(lambda rows: rows.insert(at("one", 6) + 1, shown("one", 5, seq=7))),
        "event-after-terminal",
    ),
    "an append after the terminal": (
        edit(lambda rows: rows.insert(6, appended(5, seq=7))),
        "event-after-terminal",
    ),
    "told that it is over without the end": (edit(lambda rows: rows.pop(at("one", 6))), "missing-terminal"),
    "connected and without the end": (
        [row for row in GOOD if not (isinstance(row, Close) and row.observer == "one")][: at("one", 6)]
        + GOOD[at("one", 6) + 2 :],
        "missing-terminal",
    ),
    "never ended": ([*written()[:5], Open("one", 1, G), Stop(G, "stopping")], "no-terminal"),
    "stopped and never heard of": ([Stop(G, "stopping")], "no-terminal"),
    "settle twice": (edit(lambda rows: rows.append(SETTLED)), "double-settle"),
    "settle never": (edit(lambda rows: rows.remove(SETTLED)), "unsettled"),
    "settle another number": (edit(lambda rows: rows.__setitem__(-1, Settled(G, "completed", 5))), "settled-wrong"),
    "settle another outcome": (edit(lambda rows: rows.__setitem__(-1, Settled(G, "stopped", 6))), "settled-wrong"),
    "resume from another place": (
        edit(lambda rows: rows.__setitem__(at("two", 4) - 1, Open("two", 2, G, (EPOCH, 2)))),
        "wrong-cursor",
    ),
    "forget without being told": (
        edit(lambda rows: rows.__setitem__(at("two", 4) - 1, Open("two", 2, G))),
        "wrong-cursor",
    ),
    "begin elsewhere after a reset": (
        [*written(), Open("one", 1, G, ("z9", 3)), Reset("one", 1, G, "branch"), *read("one", 3, 6)[1:], SETTLED],
        "poll-skip",
    ),
}


def taken_over(observer: str, until: int, *, reset: bool = False) -> list[Row]:
    """One who has so many of four events when another process takes the log over, to end it under a later epoch."""
    last = Received(observer, 2, G, "a1", 5, END, terminal=True)
    before = [*read(observer, 1, until)[:-1], Close(observer, 1, G, "cut"), Open(observer, 2, G, (EPOCH, until))]
    again = read(observer, 1 if reset else until + 1, 4)
    missed = [replace(row, conn=2) for row in again if isinstance(row, Received)]
    forgotten: list[Row] = [Reset(observer, 2, G, "branch")] if reset else []
    return [*before, *forgotten, *missed, last, Close(observer, 2, G, "ended")]


TAKEN: list[Row] = [
    *written()[:4],
    Append(G, "a1", 5, END, terminal=True),
    *taken_over("one", 4),
    *taken_over("two", 2),
    *taken_over("three", 4, reset=True),
    Settled(G, "completed", 5),
]
LOST = Received("ahead", 1, G, EPOCH, 5, VALUES[4])

TAKEN_MUTANTS: dict[str, tuple[list[Row], Name]] = {
    "an epoch that nobody wrote": (
        [*TAKEN, Open("odd", 1, G, (EPOCH, 3)), Received("odd", 1, G, "a2", 4, "odd")],
        "phantom-read",
    ),
    "an earlier epoch without a reset": (
        [*TAKEN, *taken_over("odd", 4), Received("odd", 2, G, EPOCH, 4, VALUES[3])],
        "not-a-prefix",
    ),
    "more than was kept, without a reset": (
        [*TAKEN, *read("ahead", 1, 4)[:-1], LOST, Received("ahead", 1, G, "a1", 5, END, terminal=True)],
        "not-a-prefix",
    ),
    "a gap before the later epoch": (
        [*TAKEN, *read("odd", 1, 3)[:-1], Received("odd", 1, G, "a1", 5, END, terminal=True)],
        "int-poll-skip",
    ),
    "told that a place is the end that another epoch has there": (
        [*TAKEN, Open("late", 1, G, (EPOCH, 5)), Close("late", 1, G, "ended")],
        "missing-terminal",
    ),
    "an end in either epoch": ([Append(G, EPOCH, 5, END, terminal=True), *TAKEN], "second-terminal"),
    "an earlier epoch that had ended": (
        [*written(), Append(G, "a1", 7, "more"), *read("one", 1, 6), SETTLED],
        "second-terminal",
    ),
}


def test_a_good_history_has_no_anomaly() -> None:
    """Reading at once, in pieces, from the middle and past the end are all in order."""
    assert check(GOOD) == []


@pytest.mark.parametrize(("rows", "name"), MUTANTS.values(), ids=MUTANTS)
def test_each_mutant_is_caught(rows: list[Row], name: Name) -> None:
    """Whatever is made wrong with a good history is found, under the name of what it is."""
    assert name in names(rows)


def test_a_log_goes_on_in_another_process() -> None:
    """A later epoch that begins where an observer is needs no reset, and where one is told there is nothing wrong."""
    assert check(TAKEN) == []


@pytest.mark.parametrize(("rows", "name"), TAKEN_MUTANTS.values(), ids=TAKEN_MUTANTS)
def test_each_mutant_of_a_log_that_was_taken_over_is_caught(rows: list[Row], name: Name) -> None:
    """Two epochs are no excuse: what was not written, what was lost, a gap and a second end are found."""
    assert name in names(rows)


def test_an_unknown_append_may_be_there_or_not() -> None:
    """The outcome `info` is the only slack: neither seeing such an event nor not seeing it is wrong."""
    unknown = appended(3, result="info")
    assert names([unknown if row == GOOD[2] else row for row in GOOD]) == set()
    assert names([*GOOD, Append(G, EPOCH, 7, "perhaps", "info")]) == set()


def test_a_reset_makes_a_new_beginning() -> None:
    """After a reset an observer may be shown another branch from 1, and a trimmed one from anywhere."""
    lost: list[Row] = [Append(G, "z", n, value) for n, value in enumerate(VALUES[:3], start=1)]
    before = read("one", 1, 3, epoch="z")
    again = [Open("one", 2, G, ("z", 3)), Reset("one", 2, G, "branch"), *read("one", 1, 6, conn=2)[1:]]
    assert check([*lost, *written(), *before, *again, SETTLED]) == []
    trimmed = [Open("two", 1, G), Reset("two", 1, G, "trimmed"), *read("two", 4, 6)[1:]]
    assert check([*written(), *read("one", 1, 6), *trimmed, SETTLED]) == []


def test_what_is_not_over_need_not_have_ended() -> None:
    """A history of something that still runs is judged by what is there."""
    rows = [*written()[:4], *read("one", 1, 4)[:-1]]
    assert check(rows, over=False) == []
    assert {anomaly.name for anomaly in check(rows)} == {"no-terminal", "missing-terminal"}


def test_rows_survive_their_file() -> None:
    """A history that was written by one process is the same when another reads it."""
    file = io.StringIO()
    dump(GOOD, file)
    assert list(load(file.getvalue().splitlines())) == GOOD


@st.composite
def histories(draw: st.DrawFn) -> list[Row]:
    """Observers that join anywhere, are cut anywhere and resume, over several generations; rows of all mixed."""
    streams: list[list[Row]] = []
    for g in range(draw(st.integers(1, 3))):
        length = draw(st.integers(2, 9))
        values = [*(f"{g}:{n}" for n in range(1, length)), f'{g}: "outcome": "stopped"']
        streams.append([Append(f"g{g}", "e", n, value, terminal=n == length) for n, value in enumerate(values, 1)])
        streams.append([Settled(f"g{g}", "stopped", length)])
        observers = range(draw(st.integers(0, 4)))
        streams += [_observer(draw, f"g{g}", f"o{o}", values) for o in observers]
    return _interleaved(draw, streams)


def _observer(draw: st.DrawFn, generation: str, name: str, values: list[str]) -> list[Row]:
    rows: list[Row] = []
    seq, conn = draw(st.integers(0, len(values))), 0
    joined_late = seq > 0
    while True:
        conn += 1
        until = draw(st.integers(seq, len(values)))
        rows.append(Open(name, conn, generation, ("e", seq) if joined_late or seq else None))
        rows += [
            Received(name, conn, generation, "e", n, values[n - 1], terminal=n == len(values))
            for n in range(seq + 1, until + 1)
        ]
        seq = until
        if seq == len(values):
            return [*rows, Close(name, conn, generation, "ended")]
        rows.append(Close(name, conn, generation, "cut"))
        if draw(st.booleans()):
            return rows


def _interleaved(draw: st.DrawFn, streams: list[list[Row]]) -> list[Row]:
    """One order of all rows that keeps each stream's own. The choices are not drawn: they would be most of the data."""
    rows: list[Row] = []
    rng = random.Random(draw(st.integers(0, 2**16)))
    waiting = [list(reversed(stream)) for stream in streams]
    while waiting:
        stream = rng.choice(waiting)
        rows.append(stream.pop())
        waiting = [stream for stream in waiting if stream]
    return rows


@settings(deadline=None)
@given(histories())
def test_every_valid_history_passes(rows: list[Row]) -> None:
    """However connections are cut and rows interleaved, what is right is found right."""
    assert check(rows) == []


@settings(deadline=None)
@given(histories(), st.data())
def test_no_valid_history_can_lose_a_row_unseen(rows: list[Row], data: st.DataObject) -> None:
    """Taking any one event out of what somebody was shown, but for the last of a cut connection, is noticed."""
    candidates = [
        index
        for index, (row, following) in enumerate(zip(rows, [*rows[1:], None], strict=True))
        if isinstance(row, Received)
        and isinstance(following, Received)
        and row.observer == following.observer
        and row.generation == following.generation
    ]
    if candidates:
        del rows[data.draw(st.sampled_from(candidates))]
        assert check(rows) != []
