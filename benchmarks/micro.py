"""`micro`: the steps of a token's path by themselves, without a socket or a loop.

Each step is timed beside what it replaces, in turn and on the same bytes; of several tries the fastest counts, because
everything that disturbs a try makes it slower.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import anthropic
import httpx2
import openai
from openai.types.chat import ChatCompletionChunk
from sse_starlette.event import ServerSentEvent

from realtime.events import Attempt, Entry, Started, Text
from realtime.hooks import Hooks
from realtime.log import EventLog, Meta
from realtime.observation import Observation
from realtime.providers.anthropic_chunks import MessagesTranslator
from realtime.providers.event_stream import Splitter
from realtime.providers.openai_chunks import ChatTranslator
from realtime.providers.upstream import Item, Translator
from transports.codec import Codec
from transports.merged import merge
from transports.ndjson import NDJSON
from transports.sse import SSE
from transports.subprotocol import MSGPACK_MESSAGES

from .plan import Plan
from .report import Row, Table
from .servers.upstream import chunk

_EPOCH = "mfw8j3k2"
_WORD = " streaming"
_CHUNKS = 500
_TRIES = 9

# Does a number of operations and returns how many; whatever it needs was made before.
Step = Callable[[], int]


def run(plan: Plan) -> Iterable[Table]:
    """Decode, encode, append and take, replay."""
    tries = 3 if plan.quick else _TRIES
    sdk = "the official SDK's own parse"
    yield _table("decode one OpenAI chunk", sdk, _openai_steps(), tries)
    yield _table("decode one Anthropic chunk", sdk, _anthropic_steps(), tries)
    yield _table("encode one event", "`json.dumps` of a dict of the same fields", _encode_steps(), tries)
    for observers in (1, 100):
        yield _table(
            f"append one event, {observers} take it",
            "`json.dumps` of a dict, put into and got from one `asyncio.Queue` per observer",
            _append_steps(observers),
            tries,
        )
    yield _table(f"replay of {_CHUNKS} events", "`json.dumps` of a dict for each", _replay_steps(), tries)


def _table(name: str, baseline: str, steps: Mapping[str, Step], tries: int) -> Table:
    """Time the steps in turn; the first is the baseline."""
    best = dict.fromkeys(steps, float("inf"))
    for _ in range(tries):
        for case, step in steps.items():
            began = time.perf_counter()
            count = step()
            best[case] = min(best[case], (time.perf_counter() - began) / count)
    first = next(iter(best.values()))
    rows = [Row(case, seconds / first, {"µs": seconds * 1e6}) for case, seconds in best.items()]
    return Table(f"micro: {name}", baseline, rows)


# Decode.


def _openai_steps() -> dict[str, Step]:
    reads = [chunk(_WORD) for _ in range(_CHUNKS)]
    client = openai.OpenAI(api_key="unused", base_url="http://127.0.0.1:9")

    def sdk() -> int:
        return len(list(openai.Stream(cast_to=ChatCompletionChunk, response=_response(reads), client=client)))

    return {
        "openai.Stream": sdk,
        "json.loads alone": partial(_loads, reads),
        "ours": lambda: _translate(reads, ChatTranslator()),
    }


def _anthropic_steps() -> dict[str, Step]:
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": _WORD}}
    data = json.dumps(delta, separators=(",", ":")).encode()
    reads = [b"event: content_block_delta\ndata: %b\n\n" % data] * _CHUNKS
    begin = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    first = b"event: content_block_start\ndata: %b\n\n" % json.dumps(begin).encode()
    client = anthropic.Anthropic(api_key="unused", base_url="http://127.0.0.1:9")
    # The SDK's own alias of what a stream holds; a union is a type to it.
    kind: type[anthropic.types.RawMessageStreamEvent] = anthropic.types.RawMessageStreamEvent  # type: ignore[assignment]

    def sdk() -> int:
        return len(list(anthropic.Stream(cast_to=kind, response=_response(reads), client=client)))

    return {
        "anthropic.Stream": sdk,
        "json.loads alone": partial(_loads, reads),
        "ours": lambda: _translate([first, *reads], MessagesTranslator()),
    }


def _response(reads: list[bytes]) -> httpx2.Response:
    """A response whose body comes read by read, as a paced stream's does."""
    request = httpx2.Request("POST", "http://127.0.0.1:9")
    return httpx2.Response(200, content=iter(reads), request=request)


def _loads(reads: list[bytes]) -> int:
    for read in reads:
        json.loads(read[read.index(b"{") :])
    return len(reads)


def _translate(reads: list[bytes], translator: Translator) -> int:
    splitter = Splitter()
    for read in reads:
        batch: list[Item] = []
        for event in splitter.feed(read):
            translator.take(event, batch)
    return len(reads)


# Encode.


def _encode_steps() -> dict[str, Step]:
    entries = [Entry(seq, seq * 20, Text(_WORD)) for seq in range(1, _CHUNKS + 1)]
    codecs: dict[str, Codec] = {"SSE": SSE, "NDJSON": NDJSON, "WebSocket, msgpack": MSGPACK_MESSAGES}
    steps: dict[str, Step] = {"json.dumps": partial(_dumps, entries), "sse-starlette": partial(_starlette, entries)}
    return steps | {f"ours, {name}": partial(_frame, codec, entries) for name, codec in codecs.items()}


def _as_dict(entry: Entry) -> dict[str, object]:
    assert isinstance(entry.event, Text)
    return {"id": f"{_EPOCH}-{entry.seq}", "type": "text", "at": entry.at, "text": entry.event.text}


def _dumps(entries: list[Entry]) -> int:
    for entry in entries:
        json.dumps(_as_dict(entry))
    return len(entries)


def _starlette(entries: list[Entry]) -> int:
    for entry in entries:
        value = _as_dict(entry)
        ServerSentEvent(json.dumps(value), event="text", id=str(value["id"])).encode()
    return len(entries)


def _frame(codec: Codec, entries: list[Entry]) -> int:
    for entry in entries:
        codec.frame(_EPOCH, entry)
    return len(entries)


# Append and take.


def _append_steps(observers: int) -> dict[str, Step]:
    return {"queues": partial(_through_queues, observers), "ours, SSE": partial(_through_log, observers)}


def _through_queues(observers: int) -> int:
    queues: list[asyncio.Queue[str]] = [asyncio.Queue() for _ in range(observers)]
    for seq in range(1, _CHUNKS + 1):
        data = json.dumps(_as_dict(Entry(seq, seq, Text(_WORD))))
        for queue in queues:
            queue.put_nowait(data)
        for queue in queues:
            queue.get_nowait()
    return _CHUNKS


def _through_log(observers: int) -> int:
    log = _new_log()
    watching = [Observation(log, None, wire="sse", hooks=Hooks()) for _ in range(observers)]
    for seq in range(1, _CHUNKS + 1):
        log.append(Text(_WORD), seq)
        for observation in watching:
            observation.take(SSE)
    return _CHUNKS


def _new_log() -> EventLog:
    meta = Meta("0" * 32, "default", None, "demo", "demo/default", 1_770_000_000_000)
    log = EventLog(meta, _EPOCH, limit_bytes=None)
    log.append(Started(meta.generation, meta.model, meta.created_ms), 0)
    log.append(Attempt(1, "demo", "default"), 0)
    return log


# Replay.


def _replay_steps() -> dict[str, Step]:
    log = _new_log()
    for seq in range(1, _CHUNKS + 1):
        log.append(Text(_WORD), seq)
    log.slice(SSE, 0)
    texts = [entry for entry in log.since(0) if isinstance(entry.event, Text)]
    return {
        "json.dumps": lambda: _dumps(texts) and 1,
        "ours, merged": lambda: _merged(log),
        "ours, every event": lambda: _again(log),
    }


def _merged(log: EventLog) -> int:
    SSE.join(log.meta.generation, [SSE.frame(log.epoch, entry) for entry in merge(log.since(0))])
    return 1


def _again(log: EventLog) -> int:
    """What a second observer costs, who comes when another has asked for something else in between."""
    log.slice(SSE, 1)
    log.slice(SSE, 0)
    return 1
