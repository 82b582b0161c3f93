"""Events as bytes: whatever they hold, every wire says the same, and no reader finds a line's end inside."""

import json
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from sse_starlette.event import ServerSentEvent

from realtime.events import AnyEvent, Data, Entry, Text
from transports.codec import (
    Bye,
    Control,
    Heartbeat,
    Json,
    Position,
    control_msgpack,
    event_json,
    event_msgpack,
    json_line,
)
from transports.ndjson import NDJSON
from transports.sse import SSE
from transports.subprotocol import JSON_MESSAGES, MSGPACK_MESSAGES
from transports.text import TEXT

from .strategies import entries, events, json_values, relaxed, texts

EPOCH = "mj2k3x9q"
# What `str.splitlines` takes for a line's end, and more than any reader of bytes does.
LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


@relaxed
@given(entries)
def test_the_json_is_the_event(entry: Entry) -> None:
    """It parses back, by another parser, to the same event in the same place; id, type and time come first."""
    raw = event_json(EPOCH, entry)
    value = json.loads(raw)
    assert list(value)[:3] == ["id", "type", "at"]
    assert (value["id"], value["at"]) == (f"{EPOCH}-{entry.seq}", entry.at)
    assert msgspec.convert(value, AnyEvent) == entry.event
    assert msgspec.json.decode(raw) == value


@relaxed
@given(entries)
def test_a_field_is_written_once_and_only_when_it_says_something(entry: Entry) -> None:
    """Nothing at its default, nothing twice, and the event's own fields in the order they are declared."""
    pairs = json.loads(event_json(EPOCH, entry), object_pairs_hook=list)
    names = [name for name, _ in pairs]
    fields = [name for name in entry.event.__struct_fields__ if name in names]
    assert names == ["id", "type", "at", *fields]
    plain = msgspec.to_builtins(entry.event)
    assert set(plain) == {"type", *fields}


@relaxed
@given(entries)
def test_the_object_is_byte_identical_on_every_wire_of_json(entry: Entry) -> None:
    """SSE, NDJSON and the WebSocket put their own frame around the same bytes."""
    raw = event_json(EPOCH, entry)
    assert JSON_MESSAGES.frame(EPOCH, entry) == raw
    assert NDJSON.frame(EPOCH, entry) == raw + b"\n"
    assert SSE.frame(EPOCH, entry).splitlines()[2] == b"data: " + raw


@relaxed
@given(entries)
def test_msgpack_is_equal_by_value(entry: Entry) -> None:
    """Another implementation reads the same object from it."""
    raw = event_msgpack(EPOCH, entry)
    assert msgpack.unpackb(raw) == json.loads(event_json(EPOCH, entry)) == msgspec.msgpack.decode(raw)
    assert MSGPACK_MESSAGES.frame(EPOCH, entry) == raw


@relaxed
@given(entries)
def test_no_line_ends_inside(entry: Entry) -> None:
    """One line for whoever splits, at what Unicode or only ASCII calls a line's end."""
    assert not set(event_json(EPOCH, entry).decode()) & set(LINE_ENDS)


@relaxed
@given(entries)
def test_the_frame_made_by_hand_is_that_of_the_oracle(entry: Entry) -> None:
    """sse-starlette writes the same bytes, the order of the fields included: id, event, data."""
    data = event_json(EPOCH, entry).decode()
    kind = str(entry.event.__struct_config__.tag)
    oracle = ServerSentEvent(data=data, event=kind, id=f"{EPOCH}-{entry.seq}", sep="\n")
    assert SSE.frame(EPOCH, entry) == oracle.encode()


@relaxed
@given(json_values)
def test_any_value_comes_through_a_control_frame(value: Any) -> None:
    """On one line of JSON, and equal in msgpack."""
    frame = Json("g", value, final=False)
    raw = json_line(frame)
    assert json.loads(raw) == {"type": "json", "generation": "g", "value": value, "final": False}
    assert not set(raw.decode()) & set(LINE_ENDS)
    assert msgpack.unpackb(control_msgpack(frame)) == json.loads(raw)


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**30, -(10**30)])
def test_integers_beyond_64_bits_do_not_stop_an_observer(number: int) -> None:
    """A model may write them; MessagePack has none, so they go as doubles, in events and in views alike."""
    value = {"a": [number, {"b": number}], "c": [1, "x", None, True, 0.5]}
    entry = Entry(1, 0, Data("n", value))
    assert json.loads(event_json(EPOCH, entry))["value"] == value
    rounded = {"a": [float(number), {"b": float(number)}], "c": [1, "x", None, True, 0.5]}
    assert msgpack.unpackb(event_msgpack(EPOCH, entry)) == {
        "id": f"{EPOCH}-1",
        "type": "data",
        "at": 0,
        "name": "n",
        "value": rounded,
    }
    assert msgpack.unpackb(control_msgpack(Json("g", value, final=True)))["value"] == rounded


CONTROL: list[tuple[Control, dict[str, Any]]] = [
    (
        Position("g", "e-0", "e-7", "queued", None),
        {"type": "position", "generation": "g", "cursor": "e-0", "head": "e-7", "state": "queued", "reset": None},
    ),
    (Heartbeat(), {"type": "heartbeat"}),
    (Json("g", [1], final=True), {"type": "json", "generation": "g", "value": [1], "final": True}),
    (Bye("draining", 1500), {"type": "bye", "reason": "draining", "retry_ms": 1500}),
]


@pytest.mark.parametrize(("frame", "value"), CONTROL)
def test_control_frames_are_whole(frame: Control, value: dict[str, Any]) -> None:
    """Every field is there, also one that is null; of all only a position has an id on SSE."""
    assert json.loads(JSON_MESSAGES.control(frame)) == value
    assert json.loads(NDJSON.control(frame)) == value
    assert msgpack.unpackb(MSGPACK_MESSAGES.control(frame)) == value
    ident = b"id: e-0\n" if isinstance(frame, Position) else b""
    head = f"event: {value['type']}\ndata: ".encode()
    assert SSE.control(frame) == ident + head + JSON_MESSAGES.control(frame) + b"\n\n"
    assert TEXT.control(frame) == b""


def test_what_comes_first() -> None:
    """SSE says when to come back; the others begin with their first frame."""
    assert SSE.preamble(3000) == b"retry: 3000\n\n"
    assert {wire.preamble(3000) for wire in (NDJSON, TEXT, JSON_MESSAGES, MSGPACK_MESSAGES)} == {b""}


@relaxed
@given(events)
def test_the_text_wire_is_the_answer_alone(event: AnyEvent) -> None:
    """Text as it is, and nothing of anything else."""
    expected = event.text.encode() if isinstance(event, Text) else b""
    assert TEXT.frame(EPOCH, Entry(1, 0, event)) == expected


@relaxed
@given(texts, texts)
def test_frames_of_streams_join_by_standing_side_by_side(one: str, two: str) -> None:
    """A slice is its frames; who gets them one by one gets the same bytes."""
    for wire in (SSE, NDJSON, TEXT):
        frames = [wire.frame(EPOCH, Entry(seq, 0, Text(text))) for seq, text in enumerate((one, two), 1)]
        assert wire.join("g", frames) == frames[0] + frames[1]
