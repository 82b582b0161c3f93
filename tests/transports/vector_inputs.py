"""What the vectors of what is read are made of: commands, bodies that are refused, and event streams.

The events of the streams are not the product's: they were worked out from the standard.
"""

from base64 import b64encode
from typing import Any

from .vector_cases import GENERATION, Case

OBSERVE = {"type": "observe", "generation": GENERATION}
START = {"type": "start", "request": {"model": "demo/default", "prompt": "Hi"}}
COMMANDS: list[Any] = [
    {"type": "ping"},
    {"type": "ping", "ref": "r" * 64},
    {"type": "ping", "ref": 7},
    {"type": "ping", "ref": None},
    {"type": "stop", "generation": GENERATION, "ref": "s"},
    {"type": "unobserve", "generation": GENERATION},
    OBSERVE,
    {**OBSERVE, "after": "e-3", "replay": "merged", "view": "json", "pace": "20,5", "flush_ms": 50, "ref": "o"},
    START,
    {**START, "observe": False, "idempotency_key": "k~!", "after": "e-0"},
    None,
    [],
    "ping",
    {},
    {"type": None},
    {"type": ["ping"]},
    {"type": "cancel"},
    {"type": "ping", "extra": 1},
    {"type": "ping", "ref": "r" * 65},
    {"type": "ping", "ref": True},
    {"type": "ping", "ref": 1.5},
    {"type": "ping", "ref": {}},
    {"type": "stop"},
    {"type": "stop", "generation": GENERATION.upper()},
    {"type": "stop", "generation": GENERATION + "\n"},
    {"type": "unobserve", "generation": 7},
    {**OBSERVE, "after": ""},
    {**OBSERVE, "after": "e-01"},
    {**OBSERVE, "after": 3},
    {**OBSERVE, "replay": "all"},
    {**OBSERVE, "view": "xml"},
    {**OBSERVE, "pace": "0"},
    {**OBSERVE, "pace": "10001"},
    {**OBSERVE, "pace": "5,"},
    {**OBSERVE, "pace": "5,0"},
    {**OBSERVE, "flush_ms": -1},
    {**OBSERVE, "flush_ms": 10001},
    {**OBSERVE, "flush_ms": "50"},
    {**OBSERVE, "wire": "sse"},
    {"type": "start"},
    {"type": "start", "request": {"prompt": "Hi"}},
    {**START, "idempotency_key": "two words"},
    {**START, "idempotency_key": ""},
    {**START, "observe": 1},
    {"type": "start", "request": {"model": "demo/default", "prompt": "Hi", "temperature": 3}},
]

_MODEL = b'{"model":"demo/default",'
_TURN = _MODEL + b'"messages":[{"role":"user","content":'
REFUSED: list[tuple[str, bytes]] = [
    ("empty", b""),
    ("cut", _MODEL),
    ("two values", b"{}{}"),
    ("not UTF-8", _MODEL + b'"prompt":"\xff"}'),
    ("UTF-8 of a surrogate", _MODEL + b'"prompt":"\xed\xa0\x80"}'),
    ("an escaped lone surrogate", _MODEL + b'"prompt":"\\ud800"}'),
    ("a byte order mark", b"\xef\xbb\xbf" + _MODEL + b'"prompt":"x"}'),
    ("NaN", _MODEL + b'"prompt":"x","options":{"a":NaN}}'),
    ("infinite", _MODEL + b'"prompt":"x","options":{"a":1e999}}'),
    ("beyond 2^53", _MODEL + b'"prompt":"x","options":{"a":9007199254740993}}'),
    ("nested 33 deep", _MODEL + b'"prompt":"x","options":{"a":' + b"[" * 31 + b"]" * 31 + b"}}"),
    ("no object", b"[]"),
    ("null", b"null"),
    ("no model", b'{"prompt":"x"}'),
    ("a model of no form", b'{"model":"/default","prompt":"x"}'),
    ("a model with a line end", b'{"model":"demo/default\\n","prompt":"x"}'),
    ("unknown field", _MODEL + b'"prompt":"x","n":2}'),
    ("unknown field inside", _MODEL + b'"prompt":"x","deadlines":{"first":1}}'),
    ("neither prompt nor messages", _MODEL + b'"system":"x"}'),
    ("prompt and messages", _TURN + b'"a"}],"prompt":"x"}'),
    ("a blank prompt", _MODEL + b'"prompt":" \\n"}'),
    ("an empty turn", _TURN + b'""}]}'),
    ("unknown role", _MODEL + b'"messages":[{"role":"king","content":"x"}]}'),
    ("part without text", _TURN + b'[{"type":"text"}]}]}'),
    ("part of unknown type", _TURN + b'[{"type":"image"}]}]}'),
    ("a second system message", _TURN + b'"a"},{"role":"system","content":"b"}]}'),
    ("a tool turn without its call", _MODEL + b'"messages":[{"role":"tool","content":"x"}]}'),
    ("too hot", _MODEL + b'"prompt":"x","temperature":2.1}'),
    ("no tokens", _MODEL + b'"prompt":"x","max_tokens":0}'),
    ("a conversation with a space", _MODEL + b'"prompt":"x","conversation":"a b"}'),
    ("if_busy of its own", _MODEL + b'"prompt":"x","if_busy":"queue"}'),
    ("a deadline of nothing", _MODEL + b'"prompt":"x","deadlines":{"idle":0}}'),
    ("grace of a day", _MODEL + b'"prompt":"x","grace":86400}'),
    ("stream as a word", _MODEL + b'"prompt":"x","stream":"yes"}'),
]


def parsed(*events: tuple[str, str, str]) -> list[Case]:
    """The events of a stream, each as event, id and data."""
    return [{"event": event, "id": ident, "data": data} for event, ident, data in events]


_KIND, _PLAIN = "message", [("message", "", "a")]
# By the HTML standard, section 9.2.6. `id` is the last event id as it stands when the event is dispatched.
SSE_STREAMS: list[tuple[str, list[bytes], list[Case]]] = [
    ("LF", [b"data: a\n\n"], parsed(*_PLAIN)),
    ("CR", [b"data: a\r\r"], parsed(*_PLAIN)),
    ("CRLF", [b"data: a\r\n\r\n"], parsed(*_PLAIN)),
    ("CRLF, cut between", [b"data: a\r", b"\n\r", b"\ndata: b\r", b"\n\r\n"], parsed(*_PLAIN, (_KIND, "", "b"))),
    ("CRLF, cut inside an event", [b"data: a\r", b"\ndata: b\r\n\r\n"], parsed((_KIND, "", "a\nb"))),
    (
        "mixed line ends",
        [b"data: a\r\n\ndata: b\r\n\rdata: c\n\r"],
        parsed(*_PLAIN, (_KIND, "", "b"), (_KIND, "", "c")),
    ),
    ("byte order mark", [b"\xef\xbb\xbfdata: a\n\n"], parsed(*_PLAIN)),
    ("byte order mark, cut", [b"\xef", b"\xbb\xbf", b"data: a\n\n"], parsed(*_PLAIN)),
    ("only the first mark", [b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n"], parsed((_KIND, "", "b"))),
    ("several lines of data", [b"data: a\ndata:b\ndata:  c\ndata\n\n"], parsed((_KIND, "", "a\nb\n c\n"))),
    ("data of nothing", [b"data\n\n"], parsed((_KIND, "", ""))),
    ("no data, no event", [b"event: x\nid: 1\n\ndata: a\n\n"], parsed((_KIND, "1", "a"))),
    ("comments", [b": hi\n\n:\ndata: a\n:data: b\n\n"], parsed(*_PLAIN)),
    ("unknown fields", [b"Data: x\ndata : x\nfoo\ndata: a\n\n"], parsed(*_PLAIN)),
    (
        "type and id",
        [b"id: e-1\nevent: text\ndata: {}\n\ndata: a\n\n"],
        parsed(("text", "e-1", "{}"), (_KIND, "e-1", "a")),
    ),
    ("id taken back", [b"id: 7\ndata: a\n\nid\ndata: b\n\n"], parsed((_KIND, "7", "a"), (_KIND, "", "b"))),
    ("id with a null", [b"id: 7\nid: 8\0\ndata: a\n\n"], parsed((_KIND, "7", "a"))),
    ("a colon in the value", [b"data: a: b\n\n"], parsed((_KIND, "", "a: b"))),
    ("retry is no event", [b"retry: 3000\n\ndata: a\n\n"], parsed(*_PLAIN)),
    ("cut off at the end", [b"data: a\n\ndata: b\n"], parsed(*_PLAIN)),
    ("split UTF-8", [b"data: \xf0", b"\x9f\xa7", b"\xad\xc3", b"\xa9\n\n"], parsed((_KIND, "", "🧭é"))),
    (
        "other line ends are text",
        ["data: a\u2028b\u0085c\x0bd\n\n".encode()],
        parsed((_KIND, "", "a\u2028b\u0085c\x0bd")),
    ),
    ("byte by byte", [b"%c" % byte for byte in b"id: 1\r\ndata: a\r\n\r\n"], parsed((_KIND, "1", "a"))),
]


def encoded(raw: bytes) -> str:
    """Bytes as base64."""
    return b64encode(raw).decode()
