"""Makes `stored.json`: what this release writes to Redis, byte for byte, and what it takes those bytes for.

    python -m tests.unit.make_stored

A change of the file is a change of what two releases share while one replaces the other; docs/redis.md says which
changes may be made.
"""

import json
from pathlib import Path
from typing import Any

import msgspec

from realtime.bus.redis import keys
from realtime.bus.redis.batches import decode_meta, decode_written, encode_batch, encode_meta
from realtime.bus.redis.messages import Told, created, read_message, seen
from realtime.events import AnyEvent
from realtime.log import Meta
from tests.transports.vector_cases import EVENTS, GENERATION

PATH = Path(__file__).with_name("stored.json")

Case = dict[str, Any]

_ABOUT = (
    "What is written to Redis: bytes as hex, and what they say. A release reads what the one before it has written."
)
FENCE = 1_764_000_000_123_456
_TENANT, _SUBJECT, _TALK = "a:b{c} é", "s/1", "chat:7"
METAS = (
    Meta(GENERATION, _TENANT, _SUBJECT, "spare", "spare/m:1", 1_764_000_000_123, _TALK, {"n": [1, None]}, "window"),
    Meta(GENERATION, "default", None, "demo", "demo/default", 0),
)


def plain(value: Any) -> Any:
    """A value as JSON has it; what is told of a log is read."""
    if isinstance(value, Told):
        value = (value.generation, *value.read())
    return json.loads(msgspec.json.encode(value))


def _keys() -> Case:
    tenant = keys.tenant_keys(_TENANT, _SUBJECT)
    named = keys.log_keys(_TENANT, GENERATION)._asdict() | tenant._asdict()
    named |= {"idempotency": tenant.idempotency("k 1"), "conversation": tenant.conversation(_TALK)}
    named |= {"active": tenant.active(_TALK), "echo": keys.echo_channel("worker", 3)}
    lanes = {f"{number:032x}": keys.lane_of(f"{number:032x}") for number in range(8)}
    return {"lanes": keys.LANES, "lane_of": lanes, "named": named}


def _meta(meta: Meta) -> Case:
    stored = encode_meta(meta)
    return {"stored": stored.hex(), "says": plain(decode_meta(stored))}


def _entry(first: int, events: list[tuple[int, AnyEvent]]) -> Case:
    stored = f"{FENCE} ".encode() + encode_batch(first, events)
    return {"stored": stored.hex(), "says": plain(decode_written(stored))}


def _message(stored: bytes) -> Case:
    message = read_message(stored)
    return {"stored": stored.hex(), "kind": type(message).__name__, "says": plain(message)}


def _messages() -> list[bytes]:
    generation = GENERATION.encode()
    return [
        created(keys.talk_name(_TENANT, _TALK)),
        seen(GENERATION, "0123456789abcdef", "observer"),
        seen(GENERATION, "0123456789abcdef", "waiter"),
        *(generation + b"stop " + by for by in (b"owner", b"disconnect", b"replaced", b"server")),
        generation + b"812",
        generation + f"{FENCE} ".encode() + encode_batch(3, [(812, event_of({"type": "text", "text": "a"}))]),
    ]


def event_of(fields: Case) -> AnyEvent:
    """An event from its fields."""
    event: AnyEvent = msgspec.convert(fields, AnyEvent)
    return event


def written() -> str:
    """The file."""
    events = [(seq, at, event_of(fields)) for _, seq, at, fields in EVENTS]
    whole = {
        "about": _ABOUT,
        "keys": _keys(),
        "metas": [_meta(meta) for meta in METAS],
        "entries": [_entry(seq, [(at, event)]) for seq, at, event in events]
        + [_entry(1, [(at, e) for _, at, e in events])],
        "messages": [_message(stored) for stored in _messages()],
    }
    return json.dumps(whole, indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    PATH.write_text(written())
