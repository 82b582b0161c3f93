"""One observer's place: the resume table, and what wakes it."""

import asyncio

import pytest

from realtime.cursor import Cursor
from realtime.events import Text
from realtime.hooks import Hooks, ObservationEnded, ObservationStarted, Record
from realtime.log import EventLog
from realtime.observation import Observation

from .logs import DONE, CountingCodec, make_log


def observe(log: EventLog, cursor: Cursor | None = None, records: list[Record] | None = None) -> Observation:
    """Attach an observer."""
    hooks = Hooks([records.append] if records is not None else [])
    return Observation(log, cursor, wire="test", hooks=hooks)


@pytest.mark.parametrize(
    ("cursor", "seq", "reset"),
    [
        (None, 0, None),
        (Cursor("e", 0), 0, None),
        (Cursor("e", 2), 2, None),
        (Cursor("e", 9), 0, "branch"),
        (Cursor("x", 2), 0, "branch"),
    ],
)
def test_where_it_begins(cursor: Cursor | None, seq: int, reset: str | None) -> None:
    """On the branch after its cursor, else from the beginning and told so."""
    observation = observe(make_log([Text("a")]), cursor)
    assert (observation.seq, observation.reset) == (seq, reset)
    assert observation.cursor == f"e-{seq}"


def test_a_trimmed_log_says_so() -> None:
    """To one who is too late, and to one who comes without a cursor and cannot have it all."""
    log = make_log([Text("x")] * 1000, limit_bytes=None, retain="window")
    log.trim(600)
    for cursor in (None, Cursor("e", 1)):
        observation = observe(log, cursor)
        assert (observation.reset, observation.seq, observation.cursor) == ("trimmed", 600, "e-0")
    assert observe(log, Cursor("e", 700)).reset is None


def test_taking_moves_it_and_only_it() -> None:
    """Two observers of one log each have their own place."""
    log, codec = make_log([Text("a"), Text("b"), DONE]), CountingCodec()
    one, two = observe(log), observe(log, Cursor("e", 3))
    assert one.take(codec, 2) == b"[e1 Started][e2 Attempt]"
    assert two.take(codec) == b"[e4 b][e5 Finished]"
    assert (one.seq, two.seq) == (2, 5)
    assert (one.done, two.done) == (False, True)


async def test_it_is_woken_by_events_and_nudges() -> None:
    """One wait for all that can happen; a goodbye is not overwritten by a heartbeat."""
    log = make_log()
    observation = observe(log, Cursor("e", 2))
    for happen in (lambda: log.append(Text("a"), 2), lambda: observation.wake("bye")):
        waiting = asyncio.ensure_future(observation.changed())
        await asyncio.sleep(0)
        assert not waiting.done()
        happen()
        await asyncio.wait_for(waiting, 20)
        observation.move(log.head)
    observation.wake("heartbeat")
    assert observation.nudge == "bye"


def test_coming_and_going_is_recorded_once() -> None:
    """The hooks hear of both, with the reason; closing twice is closing once."""
    records: list[Record] = []
    log = make_log()
    observation = observe(log, Cursor("e", 1), records)
    observation.close("too_slow")
    observation.close("finished")
    started, ended = records
    assert isinstance(started, ObservationStarted)
    assert started.resumed
    assert isinstance(ended, ObservationEnded)
    assert (ended.why, ended.state) == ("too_slow", "starting")
    assert log.observers == 0
