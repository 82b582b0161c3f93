"""The test vectors: the server makes them, the Python client reads them, and they are whole."""

import json
import re
from base64 import b64decode
from typing import Any

import msgpack
import msgspec
import pytest

from realtime.cursor import parse_cursor
from realtime.errors import ERRORS, RealtimeError
from realtime.events import PHASES, AnyEvent
from realtime.message import assemble
from transports.client.ndjson import NdjsonDecoder
from transports.client.place import Place, Reset
from transports.client.sse import SseDecoder

from .make_vectors import PATH, written

VECTORS: dict[str, Any] = json.loads(PATH.read_text())
EVENTS: list[dict[str, Any]] = VECTORS["events"]
PAGE = PATH.with_name("PROTOCOL.md").read_text()


def test_the_file_is_what_the_product_makes() -> None:
    """Every expected value is the server's own; after a change, `python -m tests.transports.make_vectors`."""
    assert PATH.read_text() == written()


def test_every_event_type_has_a_vector() -> None:
    """Each type the protocol has, once with and once without what may be left out."""
    tags = {kind.__struct_config__.tag for kind in PHASES}
    assert {case["event"]["type"] for case in EVENTS} == tags
    for kind in PHASES:
        given = [set(case["event"]) for case in EVENTS if case["event"]["type"] == kind.__struct_config__.tag]
        assert set().union(*given) - {"type"} == set(kind.__struct_fields__), kind


def test_the_page_and_the_vectors_show_the_same_event() -> None:
    """The example that PROTOCOL.md prints is a vector."""
    (shown,) = [case["json"] for case in EVENTS if case["name"] == "text"]
    assert f"    {shown}\n" in PAGE


@pytest.mark.parametrize("case", EVENTS, ids=lambda case: case["name"])
def test_every_form_of_an_event_holds_the_same(case: dict[str, Any]) -> None:
    """The JSON is the event, its default fields left out, behind its id and time; the other wires carry that."""
    value = json.loads(case["json"])
    assert list(value)[:3] == ["id", "type", "at"]
    assert (value["id"], value["at"]) == (f"{case['epoch']}-{case['seq']}", case["at"])
    assert msgpack.unpackb(bytes.fromhex(case["msgpack"])) == value
    assert case["sse"] == f"id: {value['id']}\nevent: {value['type']}\ndata: {case['json']}\n\n"
    assert case["ndjson"] == f"{case['json']}\n"
    assert len(case["json"].splitlines()) == 1
    assert set(value) - {"id", "at"} <= set(case["event"])
    assert msgspec.convert(value, AnyEvent) == msgspec.convert(case["event"], AnyEvent)


def test_the_client_reads_all_events_as_one_stream() -> None:
    """SSE and NDJSON, whole and byte by byte."""
    lines = [case["json"].encode() for case in EVENTS]
    sse, ndjson = ("".join(case[wire] for case in EVENTS).encode() for wire in ("sse", "ndjson"))
    for size in (1, len(sse)):
        sse_decoder, ndjson_decoder = SseDecoder(), NdjsonDecoder()
        read = [event for at in range(0, len(sse), size) for event in sse_decoder.feed(sse[at : at + size])]
        assert [event.data for event in read] == lines
        assert [event.id for event in read] == [f"{case['epoch']}-{case['seq']}" for case in EVENTS]
        assert [event.event for event in read] == [case["event"]["type"] for case in EVENTS]
        cut = [ndjson[at : at + size] for at in range(0, len(ndjson), size)]
        assert [line for chunk in cut for line in ndjson_decoder.feed(chunk)] == lines


@pytest.mark.parametrize("case", VECTORS["slices"], ids=lambda case: str(len(case["events"])))
def test_a_slice_is_its_events_in_an_envelope(case: dict[str, Any]) -> None:
    """Byte for byte the same JSON as alone."""
    events = [next(event["json"] for event in EVENTS if event["name"] == name) for name in case["events"]]
    head = f'{{"type":"events","generation":"{VECTORS["generation"]}","events":['
    assert case["json"] == f"{head}{','.join(events)}]}}"
    assert msgpack.unpackb(bytes.fromhex(case["msgpack"])) == json.loads(case["json"])


@pytest.mark.parametrize("case", VECTORS["control"], ids=lambda case: case["frame"]["type"])
def test_control_frames_are_equal_on_all_wires(case: dict[str, Any]) -> None:
    """Only a position has an id, which is the cursor that is held."""
    frame = case["frame"]
    assert json.loads(case["ws_json"]) == frame == msgpack.unpackb(bytes.fromhex(case["ws_msgpack"]))
    assert case["ndjson"] == case["ws_json"] + "\n"
    ident = f"id: {frame['cursor']}\n" if frame["type"] == "position" else ""
    assert case["sse"] == f"{ident}event: {frame['type']}\ndata: {case['ws_json']}\n\n"


def test_cursors_are_those_of_the_page() -> None:
    """The pattern that PROTOCOL.md gives and the server's parser judge alike."""
    found = re.search(r"A cursor matches `(.+?)`", PAGE)
    assert found is not None
    for case in VECTORS["cursors"]["valid"]:
        assert parse_cursor(case["text"]) == (case["epoch"], case["seq"])
        assert re.fullmatch(found[1], case["text"])
    for text in VECTORS["cursors"]["malformed"]:
        with pytest.raises(RealtimeError, match="bad_cursor"):
            parse_cursor(text)
        assert not re.fullmatch(found[1], text)


@pytest.mark.parametrize("case", VECTORS["resume"]["cases"], ids=lambda case: f"{case['log']} {case['cursor']}")
def test_the_client_understands_every_answer_to_a_cursor(case: dict[str, Any]) -> None:
    """It forgets what it has when told to and only then, and is where the server says that it is."""
    log = VECTORS["resume"]["logs"][case["log"]]
    place = Place(case["cursor"])
    if case["status"] == 204:
        assert place.take({"type": "nothing_more"}) is None
        assert place.ended
        return
    position = {
        "type": "position",
        "generation": VECTORS["generation"],
        "head": f"e-{log['head']}",
        "state": "streaming",
    }
    observed = place.take({**position, "cursor": case["position_cursor"], "reset": case["reset"]})
    assert (None if observed is None else observed.event) == (None if case["reset"] is None else Reset(case["reset"]))
    assert place.cursor == case["position_cursor"]
    taken = place.take({"id": f"e-{case['next_seq']}", "type": "text", "at": 1, "text": "x"})
    assert taken is not None, "the next event looked like a repeat"


@pytest.mark.parametrize("case", VECTORS["merged"], ids=lambda case: case["name"])
def test_a_merged_history_is_the_same_message(case: dict[str, Any]) -> None:
    """Fewer events, the same whole."""
    before, after = (
        [msgspec.convert(entry["event"], AnyEvent) for entry in case[key]] for key in ("entries", "merged")
    )
    assert assemble(after) == assemble(before)
    assert [entry for entry in case["merged"] if entry["seq"] not in {it["seq"] for it in case["entries"]}] == []


def test_what_is_refused_has_a_code_of_the_table() -> None:
    """Nothing that should be refused is accepted, and every command is accepted at least once."""
    assert all(case["code"] in ERRORS for case in VECTORS["refused"])
    accepted = {case["accepted"] for case in VECTORS["commands"] if "accepted" in case}
    assert accepted == {"start", "observe", "unobserve", "stop", "ping"}
    assert all(case["code"] in ERRORS for case in VECTORS["commands"] if "accepted" not in case)


@pytest.mark.parametrize("case", VECTORS["sse_streams"], ids=lambda case: case["name"])
def test_the_client_parses_any_event_stream(case: dict[str, Any]) -> None:
    """By the standard, and wherever it is cut."""
    chunks = [b64decode(chunk) for chunk in case["chunks"]]
    raw = b"".join(chunks)
    for cut in (chunks, [raw], [raw[at : at + 1] for at in range(len(raw))]):
        decoder = SseDecoder()
        read = [event for chunk in cut for event in decoder.feed(chunk)]
        assert [{**event._asdict(), "data": event.data.decode()} for event in read] == case["events"]
