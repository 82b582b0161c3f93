"""The log: numbers, order, slices, waiters, windows."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.cursor import Cursor
from realtime.errors import RealtimeError
from realtime.events import FOLLOWS, PHASES, AnyEvent, Attempt, Finished, Text, ToolCall
from realtime.log import EventLog
from realtime.warm import Warm

from .logs import ATTEMPT, DONE, STARTED, CountingCodec, make_log, make_meta


def test_numbers_count_from_one_without_a_hole() -> None:
    """append returns the number of the event, and the log has them in order."""
    log = make_log()
    assert [log.append(Text(word), 2) for word in "abc"] == [3, 4, 5]
    assert [entry.seq for entry in log.since(0)] == [1, 2, 3, 4, 5]
    assert log.cursor == "e-5"


def test_the_terminal_event_is_last() -> None:
    """Nothing follows finished, not even another finished."""
    log = make_log([Text("a"), DONE])
    for event in (Text("b"), DONE, ATTEMPT):
        with pytest.raises(ValueError, match="may not follow 'finished'"):
            log.append(event, 9)
    assert log.finished is DONE
    assert log.head == 4


def test_content_needs_an_attempt_and_an_attempt_no_content() -> None:
    """The grammar is the table's."""
    log = make_log([Text("a")])
    with pytest.raises(ValueError, match="Attempt may not follow 'content'"):
        log.append(Attempt(2, "demo", "default"), 3)
    assert "content" not in FOLLOWS["started"]


def test_every_phase_can_be_left_but_the_last() -> None:
    """The table covers every phase, each leads to an end, and the end leads nowhere."""
    phases = set(PHASES.values()) | {"new"}
    assert set(FOLLOWS) == phases
    assert all("finished" in after for phase, after in FOLLOWS.items() if phase not in ("new", "finished"))
    assert not FOLLOWS["finished"]


@pytest.mark.parametrize(
    ("events", "state"),
    [([], "starting"), ([Text("a")], "streaming"), ([DONE], "finished"), ([ToolCall("c", "f")], "streaming")],
)
def test_state_is_read_from_the_events(events: list[Text | Finished | ToolCall], state: str) -> None:
    """A log knows its state without being told."""
    assert make_log(events).state == state


def test_stopping_is_a_state_until_the_end() -> None:
    """A stop that was asked for shows, and the end hides it."""
    log = make_log([Text("a")])
    log.stopping = True
    states = [log.state]
    log.append(Finished("stopped", stopped_by="owner"), 3)
    assert [*states, log.state] == ["stopping", "finished"]


@given(st.integers(0, 12), st.integers(0, 12), st.integers(1, 10))
def test_a_slice_is_what_since_says(first: int, second: int, count: int) -> None:
    """Whatever was asked before, a slice holds the frames past the place and up to the bound."""
    log, codec = make_log([Text(str(n)) for n in range(count)]), CountingCodec()
    for after in (first, second, first):
        expected = b"".join(CountingCodec().frame("e", entry) for entry in log.since(after))
        assert log.slice(codec, after) == expected
    upto = max(first, log.head - 1)
    assert log.slice(codec, first, upto) == b"".join(
        CountingCodec().frame("e", entry) for entry in log.since(first) if entry.seq <= upto
    )


def test_each_event_is_encoded_once_for_a_codec() -> None:
    """A thousand observers at the same place cost one encoding and one join."""
    log, codec = make_log([Text("a"), Text("b")]), CountingCodec()
    slices = {log.slice(codec, 0) for _ in range(1000)}
    assert len(slices) == 1
    assert codec.framed == [1, 2, 3, 4]
    assert codec.joined == 1


def test_a_late_joiner_of_a_wire_encodes_only_what_it_wants() -> None:
    """A codec that was never used begins where its first observer is."""
    log, codec = make_log([Text(str(n)) for n in range(100)]), CountingCodec()
    log.slice(codec, 100)
    assert codec.framed == [101, 102]
    log.slice(codec, 98)
    assert codec.framed == [101, 102, 99, 100]


@given(st.lists(st.integers(0, 40), max_size=12), st.integers(0, 14), st.integers(1, 120))
def test_what_fits_is_as_much_as_can_be(sizes: list[int], after: int, most: int) -> None:
    """The bound is kept, one event more would pass it, and one event always goes."""
    log = make_log([Text("x" * size) for size in sizes])
    after = min(after, log.head)
    upto = log.fitting(after, most, 10)
    taken = [entry.event.size() + 10 for entry in log.since(after)][: upto - after]
    assert len(taken) == min(1, log.head - after) or sum(taken) <= most
    if upto < log.head:
        assert upto > after
        assert sum(taken) + log.since(upto)[0].event.size() + 10 > most


def test_frames_go_when_an_ended_log_has_no_reader() -> None:
    """An ended log that nobody watches keeps its events and not their encodings."""
    log, codec = make_log([Text("a")]), CountingCodec()
    log.attach("reader", 0)
    log.slice(codec, 0)
    before = log.memory_bytes
    log.append(DONE, 3)
    log.detach("reader")
    assert log.memory_bytes < before
    assert log.slice(codec, 0).endswith(b"[e4 Finished]")


def test_frames_stay_while_there_is_room() -> None:
    """A log that was read lately is not encoded again; the one that was read first makes room for the others."""
    codec, warm = CountingCodec(), Warm(most_bytes=2000)
    logs = [EventLog(make_meta(), "e", limit_bytes=None, warm=warm) for _ in range(3)]
    events: list[AnyEvent] = [STARTED, ATTEMPT, DONE]
    for log in logs:
        for at, event in enumerate(events):
            log.append(event, at)

    def read(log: EventLog) -> int:
        before = len(codec.framed)
        log.attach("reader", 0)
        log.slice(codec, 0)
        log.detach("reader")
        return len(codec.framed) - before

    assert [read(logs[n]) for n in (0, 0, 1, 0, 2)] == [3, 0, 3, 0, 3]
    assert [read(logs[n]) for n in (2, 0, 1)] == [0, 0, 3]
    logs[1].retire()
    assert read(logs[1]) == 0
    assert read(logs[1]) == 3, "one that no bus keeps is not kept warm either"
    assert warm._bytes == sum(log.frames_bytes for log in logs)


def test_payload_is_counted_in_bytes_and_bounded() -> None:
    """The limit is of UTF-8 bytes; the event that passes it is not in the log, and the end still fits."""
    log = make_log(limit_bytes=None)
    prelude = log.payload_bytes
    log.append(Text("äöü"), 2)
    assert log.payload_bytes - prelude == 6

    log = make_log(limit_bytes=prelude + 10)
    log.append(Text("x" * 10), 2)
    with pytest.raises(RealtimeError) as caught:
        log.append(Text("x"), 3)
    assert caught.value.code == "log_limit"
    assert (log.head, log.payload_bytes, log.appended_bytes) == (3, prelude + 10, prelude + 10)
    log.append(Finished("failed", error=caught.value.error), 4)
    assert log.state == "finished"


def test_the_number_of_events_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the sentence names that limit, not the other."""
    monkeypatch.setattr("realtime.log.MAX_EVENTS", 3)
    log = make_log([Text("a")])
    with pytest.raises(RealtimeError, match="3 events") as caught:
        log.append(Text("b"), 3)
    assert caught.value.error.limit == 3


def test_what_is_no_content_is_not_limited() -> None:
    """A start with long metadata is in the log, however small its limit."""
    assert make_log(limit_bytes=1).head == 2


@pytest.mark.parametrize(
    ("cursor", "reason"),
    [
        (Cursor("e", 0), None),
        (Cursor("e", 3), None),
        (Cursor("e", 4), "branch"),
        (Cursor("f", 1), "branch"),
    ],
)
def test_a_cursor_fits_its_own_branch_only(cursor: Cursor, reason: str | None) -> None:
    """Ahead of the head and of another epoch are another branch."""
    assert make_log([Text("a")]).holds(cursor) == reason


def test_a_window_lets_go_of_what_everyone_has() -> None:
    """Trimming keeps numbers, drops entries, and makes old cursors say so."""
    log, codec = make_log([Text(str(n)) for n in range(1000)], limit_bytes=None, retain="window"), CountingCodec()
    whole = log.slice(codec, 0)
    payload = log.payload_bytes
    log.trim(600)
    assert (log.trimmed, log.head) == (600, 1002)
    assert log.payload_bytes < payload
    assert log.holds(Cursor("e", 599)) == "trimmed"
    assert log.holds(Cursor("e", 600)) is None
    assert whole.endswith(log.slice(codec, 600))
    assert log.slice(codec, 0) == log.slice(codec, 600)


async def test_a_waiter_is_woken_by_the_next_append() -> None:
    """wait returns at once for what is there, else at the next event."""
    log = make_log()
    await log.wait(1)
    waiting = asyncio.ensure_future(log.wait(2))
    await asyncio.sleep(0)
    assert not waiting.done()
    log.append(Text("a"), 2)
    await asyncio.wait_for(waiting, 5)


async def test_cancelling_one_waiter_leaves_the_others() -> None:
    """Waiters share no future, and a cancelled one is forgotten."""
    log = make_log()
    first, second = asyncio.ensure_future(log.wait(2)), asyncio.ensure_future(log.wait(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    assert not second.done()
    log.append(DONE, 2)
    await asyncio.wait_for(second, 5)


async def test_a_reader_that_moves_or_leaves_is_noticed() -> None:
    """A windowed writer waits for its slowest reader, and not for those who go at their own pace."""
    log = make_log([Text("a"), Text("b")], retain="window")
    log.attach("slow", 0)
    log.attach("fast", 4)
    log.attach("waiter", None)
    for place, slowest in ((2, 2), (None, 4)):
        waiting = asyncio.ensure_future(log.wait_moved())
        await asyncio.sleep(0)
        log.moved("slow", place)
        await asyncio.wait_for(waiting, 20)
        assert log.slowest == slowest
    log.moved("slow", 3)
    assert log.slowest == 4


def test_bytes_can_be_trimmed_too() -> None:
    """The oldest go until the rest fits, and none that a reader needs."""
    log = make_log([Text("x" * 100)] * 10, limit_bytes=None, retain="window")
    log.trim_bytes(350, 6)
    assert log.trimmed == 6
    log.trim_bytes(350, log.head)
    assert (log.trimmed, log.payload_bytes) == (9, 300)


def test_presence_is_told() -> None:
    """Whoever drives a log hears how many are present, and whether it was an observer who came or left."""
    log, heard = make_log(), list[tuple[int, bool]]()
    log.on_presence = lambda present, observed: heard.append((present, observed))
    log.attach("a", 0)
    log.attach("b", None)
    log.detach("a")
    log.detach("a")
    log.detach("b", gone=False)
    assert heard == [(1, True), (2, False), (1, True), (0, False)]


def test_repr_shows_the_state() -> None:
    """A log in a debugger says what it is."""
    assert repr(make_log([Text("a")])).endswith("streaming 0..3 readers=0>")
    assert STARTED.generation in repr(make_log())


async def test_what_comes_together_is_told_together() -> None:
    """Each event is there when it was appended; who waits is woken when all of them are."""
    log = make_log()
    waiting = asyncio.create_task(log.wait(log.head))
    await asyncio.sleep(0)
    for text in "ab":
        log.append(Text(text), 3, more=True)
    await asyncio.sleep(0)
    assert (log.head, waiting.done()) == (4, False)
    log.show()
    await asyncio.wait_for(waiting, 20)
