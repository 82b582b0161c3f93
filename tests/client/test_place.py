"""What each frame means to an observer at its place, without a connection."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.errors import RealtimeError
from realtime.events import Finished, Text
from transports.client.errors import DroppedError
from transports.client.place import NOTHING_MORE, JsonView, Observed, Place, Reset, Unknown

from .scripted import GENERATION, log_of, position

LOG = log_of("a", "b", "c")


def took(place: Place, frames: list[dict[str, Any]]) -> list[Observed]:
    """What a list of frames holds for the observer."""
    return [item for item in map(place.take, frames) if item is not None]


def test_whole_log() -> None:
    """Every event comes typed, with its cursor and its time, and the terminal one ends it."""
    place = Place()
    items = took(place, [position("e1-0", "e1-6"), *LOG])
    assert [item.cursor for item in items] == [event["id"] for event in LOG]
    assert items[2] == Observed("e1-3", 2, Text("a"))
    assert isinstance(place.finished, Finished)
    assert place.ended
    assert place.state == "finished"
    assert repr(place) == "<Place e1-6 finished resets=0>"
    place.disconnected()


@given(resumes=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6))))
def test_repeats_are_dropped(resumes: list[tuple[int, int]]) -> None:
    """Whatever parts of a log come again, each event is handed on once, in order."""
    place, got = Place(), []
    for start, end in [*resumes, (0, 6)]:
        held = 0 if place.cursor is None else int(place.cursor[3:])
        got += took(place, LOG[min(start, held) : end])
    assert [item.cursor for item in got] == [event["id"] for event in LOG]


@pytest.mark.parametrize("reason", ["branch", "trimmed"])
def test_reset(reason: str) -> None:
    """A reset is shown, counted, and what follows is the log from its beginning, under its new epoch."""
    place = Place()
    took(place, [position("e1-0", "e1-6"), *LOG[:4]])
    items = took(place, [position("e2-0", "e2-5", reset=reason), *log_of("x", "y", epoch="e2")])
    assert items[0] == Observed("e2-0", 0, Reset(reason))  # type: ignore[arg-type]
    assert [item.cursor for item in items[1:]] == ["e2-1", "e2-2", "e2-3", "e2-4", "e2-5"]
    assert place.resets == 1


def test_position_sets_the_place() -> None:
    """The first position is a cursor to come back with, before any event."""
    place = Place()
    assert repr(place) == "<Place None None resets=0>"
    assert place.take(position("e1-0", "e1-0", "queued")) is None
    assert place.cursor == "e1-0"
    assert place.state == "queued"
    assert not place.progress


def test_position_behind_a_gap() -> None:
    """A position further than ours would lose events, so the connection is of no use."""
    place = Place("e1-2")
    with pytest.raises(DroppedError, match="further"):
        place.take(position("e1-3", "e1-6"))


def test_position_at_the_end() -> None:
    """A position at the head of a finished log says that nothing more comes."""
    place = Place("e1-6")
    place.take(position("e1-6", "e1-6", "finished"))
    assert place.ended


@pytest.mark.parametrize(
    "frame",
    [
        {"id": "e1-9", "type": "hologram", "at": 5, "shape": "cube"},
        {"id": "e1-9", "type": "text", "at": 5},
    ],
)
def test_unknown_event(frame: dict[str, Any]) -> None:
    """An event this client does not understand is surfaced as such, and counts."""
    place = Place("e1-8")
    item = place.take(frame)
    assert item is not None
    assert isinstance(item.event, Unknown)
    assert item.event.kind == frame["type"]
    assert place.cursor == "e1-9"


def test_unknown_ending() -> None:
    """A terminal event with an outcome of the future still ends it."""
    place = Place("e1-8")
    item = place.take({"id": "e1-9", "type": "finished", "at": 5, "outcome": "vanished"})
    assert item == Observed("e1-9", 5, Unknown("finished", {"outcome": "vanished"}))
    assert place.ended
    assert place.finished is None


def test_unknown_fields() -> None:
    """A field of the future is ignored, and a missing one is its default."""
    item = Place().take({"id": "e1-1", "type": "text", "at": 5, "text": "a", "colour": "red"})
    assert item == Observed("e1-1", 5, Text("a", part=0))


def test_unknown_control_frame() -> None:
    """A control frame of the future is passed over."""
    place = Place()
    assert place.take({"type": "weather", "sun": True}) is None
    assert not place.ended


@pytest.mark.parametrize(
    "frame",
    [{}, {"type": 1}, {"type": "text", "text": "a"}, {"id": "?", "type": "text"}, {"type": "position"}],
)
def test_garbage(frame: dict[str, Any]) -> None:
    """What is no frame of this protocol costs the connection, not the observation."""
    with pytest.raises(DroppedError):
        Place().take(frame)


def test_bye() -> None:
    """A goodbye is a drop that says when to come back."""
    with pytest.raises(DroppedError, match="draining") as caught:
        Place().take({"type": "bye", "reason": "draining", "retry_ms": 1500})
    assert caught.value.wait_s == 1.5


def test_heartbeat_is_progress() -> None:
    """A heartbeat shows that the connection works."""
    place = Place()
    place.take({"type": "heartbeat"})
    assert place.progress


def test_end_without_an_end() -> None:
    """A connection that ends before the terminal event is broken."""
    place = Place()
    took(place, LOG[:-1])
    with pytest.raises(DroppedError):
        place.disconnected()


def test_nothing_more() -> None:
    """A server that has nothing more ends it, without a terminal event."""
    place = Place("e1-6")
    place.take(NOTHING_MORE)
    assert place.ended
    assert place.finished is None
    place.disconnected()


def test_json_view() -> None:
    """The final view comes after the terminal event, and only then is it over."""
    place = Place(view_json=True)
    took(place, LOG)
    assert not place.ended
    place.disconnected()
    item = place.take({"type": "json", "generation": GENERATION, "value": {"a": 1}, "final": True})
    assert item == Observed("e1-6", 99, JsonView({"a": 1}, final=True))
    assert place.ended


def test_states() -> None:
    """The state follows the events, and a stop that was announced is not forgotten by a late delta."""
    place = Place()
    states = []
    for frame in [position("e1-0", "e1-0", "queued"), *LOG]:
        place.take(frame)
        states.append(place.state)
    assert states == ["queued", "queued", "starting", "streaming", "streaming", "streaming", "finished"]
    stopping = Place()
    took(stopping, [position("e1-0", "e1-0", "stopping"), *LOG[:3]])
    assert stopping.state == "stopping"


def test_back_in_line() -> None:
    """After a try that failed it may wait again, and is then queued as it was before."""
    place = Place()
    took(place, [position("e1-0", "e1-0", "queued"), *LOG[:2]])
    took(place, [{"id": "e1-3", "type": "queued", "at": 2, "position": 1}])
    assert place.state == "queued"


def test_bad_cursor() -> None:
    """A cursor that is none is refused before anything is asked."""
    with pytest.raises(RealtimeError, match="bad_cursor"):
        Place("nonsense")


def test_values_are_frozen() -> None:
    """What is handed on cannot be changed by one consumer under another."""
    for value in (Reset("branch"), JsonView(1), Unknown("x", {})):
        assert msgspec.structs.asdict(value)
        with pytest.raises(AttributeError):
            value.reason = "x"  # type: ignore[union-attr, misc]
