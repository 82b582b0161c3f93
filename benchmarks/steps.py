"""The steps of `micro`, each beside what it replaces, as functions that do a number of operations and say how many."""

import asyncio
import json
from collections.abc import Callable
from functools import partial

from sse_starlette.event import ServerSentEvent

from realtime.events import Entry, Text
from realtime.hooks import Hooks
from realtime.log import EventLog
from realtime.observation import Observation
from transports.codec import Codec
from transports.merged import merge
from transports.ndjson import NDJSON
from transports.sse import SSE
from transports.subprotocol import MSGPACK_MESSAGES

from .delivery import EPOCH, WORD, as_dict, new_log

# One replay is too short to be timed.
_REPLAYS = 10

# Does a number of operations and returns how many; whatever it needs was made before.
Step = Callable[[], float]


# Encode.


def encode_steps(chunks: int) -> dict[str, Step]:
    """From an event to its bytes."""
    entries = [Entry(seq, seq * 20, Text(WORD)) for seq in range(1, chunks + 1)]
    codecs: dict[str, Codec] = {"SSE": SSE, "NDJSON": NDJSON, "WebSocket, msgpack": MSGPACK_MESSAGES}
    steps: dict[str, Step] = {"json.dumps": partial(_dumps, entries), "sse-starlette": partial(_starlette, entries)}
    return steps | {f"ours, {name}": partial(_frame, codec, entries) for name, codec in codecs.items()}


def _dumps(entries: list[Entry]) -> int:
    for entry in entries:
        json.dumps(as_dict(entry))
    return len(entries)


def _starlette(entries: list[Entry]) -> int:
    for entry in entries:
        value = as_dict(entry)
        ServerSentEvent(json.dumps(value), event="text", id=str(value["id"])).encode()
    return len(entries)


def _frame(codec: Codec, entries: list[Entry]) -> int:
    for entry in entries:
        codec.frame(EPOCH, entry)
    return len(entries)


# Append and take.


def append_steps(chunks: int, observers: int) -> dict[str, Step]:
    """From an event in the log to everyone's bytes, without a loop."""
    return {
        "queues": partial(_through_queues, chunks, observers),
        "ours, SSE": partial(_through_log, chunks, observers),
    }


def _through_queues(chunks: int, observers: int) -> int:
    queues: list[asyncio.Queue[str]] = [asyncio.Queue() for _ in range(observers)]
    for seq in range(1, chunks + 1):
        data = json.dumps(as_dict(Entry(seq, seq, Text(WORD))))
        for queue in queues:
            queue.put_nowait(data)
        for queue in queues:
            queue.get_nowait()
    return chunks


def _through_log(chunks: int, observers: int) -> int:
    log = new_log()
    watching = [Observation(log, None, wire="sse", hooks=Hooks()) for _ in range(observers)]
    for seq in range(1, chunks + 1):
        log.append(Text(WORD), seq)
        for observation in watching:
            observation.take(SSE)
    return chunks


# Replay.


def merged_steps(events: int) -> dict[str, Step]:
    """What a late observer costs who asks for it merged."""
    log = _full_log(events)
    texts = [entry for entry in log.since(0) if isinstance(entry.event, Text)]

    def merged() -> int:
        for _ in range(_REPLAYS):
            SSE.join(log.meta.generation, [SSE.frame(log.epoch, entry) for entry in merge(log.since(0))])
        return _REPLAYS

    return {"json.dumps": lambda: _dumps(texts) and 1, "ours": merged}


def replay_steps(events: int) -> dict[str, Step]:
    """What one costs who comes late, when another observer has asked for something else before."""
    log = _full_log(events)
    frames = [SSE.frame(log.epoch, entry) for entry in log.since(0)]

    def join() -> int:
        for _ in range(_REPLAYS):
            b"".join(frames[1:])
            b"".join(frames[0:])
        return _REPLAYS

    def again() -> int:
        for _ in range(_REPLAYS):
            log.slice(SSE, 1)
            log.slice(SSE, 0)
        return _REPLAYS

    return {"a join": join, "ours": again}


def _full_log(events: int) -> EventLog:
    log = new_log()
    for seq in range(1, events + 1):
        log.append(Text(WORD), seq)
    return log
