"""Makes `transports/vectors.json`: what the product says to the inputs in `vector_cases` and `vector_inputs`.

    python -m tests.transports.make_vectors

A change of the file is a change of the wire; its diff is read against PROTOCOL.md before it is committed.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from realtime.cursor import parse_cursor
from realtime.errors import RealtimeError
from realtime.events import AnyEvent, Attempt, Entry, Finished, Started, Text
from realtime.hooks import Hooks
from realtime.log import EventLog, Meta
from realtime.message import assemble
from realtime.observation import Observation
from realtime.request import StartRequest
from realtime.strict import convert, decode_json
from transports.codec import Bye, Control, Heartbeat, Json, Position, event_json, event_msgpack
from transports.commands import read_command
from transports.merged import merge
from transports.ndjson import NDJSON
from transports.sse import SSE
from transports.subprotocol import JSON_MESSAGES, MSGPACK_MESSAGES

from . import vector_cases as cases
from . import vector_inputs as inputs

PATH = Path(__file__).parents[2] / "transports" / "vectors.json"

Case = dict[str, Any]

_ABOUT = (
    "Test vectors of the realtime protocol, version 1; PROTOCOL.md says what they mean. Text that is an exact encoding "
    "is given as a string, bytes as hex (msgpack) or base64."
)


def to_event(fields: Case) -> AnyEvent:
    """An event from its fields."""
    event: AnyEvent = msgspec.convert(fields, AnyEvent)
    return event


def to_control(fields: Case) -> Control:
    """A control frame from its fields."""
    frame: Control = msgspec.convert(fields, Position | Heartbeat | Json | Bye)
    return frame


def to_entries(events: Sequence[Case]) -> list[Entry]:
    """Events as a log numbers them, from 3, ten milliseconds apart."""
    return [Entry(seq, seq * 10, to_event(fields)) for seq, fields in enumerate(events, 3)]


def event_vector(name: str, seq: int, at: int, fields: Case) -> Case:
    """An event on every wire."""
    entry = Entry(seq, at, to_event(fields))
    return {
        "name": name,
        "epoch": cases.EPOCH,
        "seq": seq,
        "at": at,
        "event": fields,
        "json": event_json(cases.EPOCH, entry).decode(),
        "sse": SSE.frame(cases.EPOCH, entry).decode(),
        "ndjson": NDJSON.frame(cases.EPOCH, entry).decode(),
        "msgpack": event_msgpack(cases.EPOCH, entry).hex(),
    }


def slice_vector(numbers: Sequence[int]) -> Case:
    """Some of the events as one WebSocket message."""
    entries = [Entry(seq, at, to_event(fields)) for _, seq, at, fields in (cases.EVENTS[n] for n in numbers)]
    json_frames = [JSON_MESSAGES.frame(cases.EPOCH, entry) for entry in entries]
    msgpack_frames = [MSGPACK_MESSAGES.frame(cases.EPOCH, entry) for entry in entries]
    return {
        "events": [cases.EVENTS[n][0] for n in numbers],
        "json": JSON_MESSAGES.join(cases.GENERATION, json_frames).decode(),
        "msgpack": MSGPACK_MESSAGES.join(cases.GENERATION, msgpack_frames).hex(),
    }


def control_vector(fields: Case) -> Case:
    """A control frame on every wire."""
    frame = to_control(fields)
    return {
        "frame": fields,
        "sse": SSE.control(frame).decode(),
        "ndjson": NDJSON.control(frame).decode(),
        "ws_json": JSON_MESSAGES.control(frame).decode(),
        "ws_msgpack": MSGPACK_MESSAGES.control(frame).hex(),
    }


def make_log(name: str) -> EventLog:
    """A log of `cases.LOGS`, of epoch `e`."""
    events, trimmed, finished = cases.LOGS[name]
    meta = Meta(cases.GENERATION, "default", None, "demo", "demo/default", 0, retain="window" if trimmed else "all")
    log = EventLog(meta, "e", limit_bytes=None)
    log.append(Started(cases.GENERATION, "demo/default", 0), 0)
    log.append(Attempt(1, "demo", "default"), 1)
    while log.head < events - 1:
        log.append(Text("."), log.head)
    log.append(Finished("completed", "stop") if finished else Text("."), events)
    log.trim(trimmed)
    return log


def resume_vector(name: str, cursor: str | None) -> Case:
    """What one who comes with a cursor is told, and the first event that it gets or waits for."""
    log = make_log(name)
    observation = Observation(log, None if cursor is None else parse_cursor(cursor), wire="test", hooks=Hooks())
    asked = {"log": name, "cursor": cursor}
    if observation.done and observation.reset is None:
        return {**asked, "status": 204}
    return {
        **asked,
        "status": 200,
        "reset": observation.reset,
        "position_cursor": observation.cursor,
        "next_seq": observation.seq + 1,
    }


def entry_vector(entry: Entry) -> Case:
    """An entry."""
    return {"seq": entry.seq, "at": entry.at, "event": msgspec.to_builtins(entry.event)}


def merged_vector(name: str, events: Sequence[Case]) -> Case:
    """A history and what `replay=merged` makes of it."""
    entries = to_entries(events)
    return {
        "name": name,
        "entries": [entry_vector(entry) for entry in entries],
        "merged": [entry_vector(entry) for entry in merge(entries)],
    }


def message_vector(name: str, events: Sequence[Case]) -> Case:
    """Events and the message they are."""
    whole = assemble(map(to_event, events))
    return {"name": name, "events": events, "message": msgspec.to_builtins(whole)}


def verdict_on_command(text: str) -> Case:
    """What the server makes of a WebSocket message."""
    try:
        command = read_command(JSON_MESSAGES.decode(text))
    except RealtimeError as error:
        return {"code": error.code, "field": error.error.field}
    return {"accepted": command.__struct_config__.tag}


def verdict_on_body(raw: bytes) -> Case:
    """What the server makes of the body of a start."""
    try:
        convert(decode_json(raw), StartRequest).to_prompt()
    except RealtimeError as error:
        return {"code": error.code, "field": error.error.field}
    return {"accepted": "start"}


def command_vector(message: Any) -> Case:
    """A command and the verdict on it."""
    text = json.dumps(message)
    return {"command": text, **verdict_on_command(text)}


def make() -> Case:
    """All vectors."""
    logs = {
        name: {"epoch": "e", "head": head, "trimmed": trimmed, "finished": finished}
        for name, (head, trimmed, finished) in cases.LOGS.items()
    }
    valid = [{"text": text, **parse_cursor(text)._asdict()} for text in cases.VALID_CURSORS]
    streams = [
        {"name": name, "chunks": [inputs.encoded(chunk) for chunk in chunks], "events": events}
        for name, chunks, events in inputs.SSE_STREAMS
    ]
    refused = [{"name": name, "body": inputs.encoded(raw), **verdict_on_body(raw)} for name, raw in inputs.REFUSED]
    return {
        "about": _ABOUT,
        "generation": cases.GENERATION,
        "events": [event_vector(*case) for case in cases.EVENTS],
        "slices": [slice_vector(numbers) for numbers in ((), (4,), range(len(cases.EVENTS)))],
        "control": [control_vector(fields) for fields in cases.CONTROL],
        "cursors": {"valid": valid, "malformed": cases.MALFORMED_CURSORS},
        "resume": {"logs": logs, "cases": [resume_vector(*case) for case in cases.RESUMES]},
        "merged": [merged_vector(*case) for case in cases.MERGED],
        "messages": [message_vector(*case) for case in cases.MESSAGES],
        "commands": [command_vector(message) for message in inputs.COMMANDS],
        "refused": refused,
        "sse_streams": streams,
    }


def written() -> str:
    """The file: one case a line, ASCII only, so that no editor and no diff changes or hides a character."""
    return "{\n" + ",\n".join(f"{json.dumps(name)}: {_lines(section)}" for name, section in make().items()) + "\n}\n"


def _lines(section: Any) -> str:
    if isinstance(section, list):
        return "[\n" + ",\n".join("  " + json.dumps(item) for item in section) + "\n]"
    if isinstance(section, dict):
        return "{\n" + ",\n".join(f"{json.dumps(name)}: {_lines(part)}" for name, part in section.items()) + "\n}"
    return json.dumps(section)


if __name__ == "__main__":
    PATH.write_text(written())
