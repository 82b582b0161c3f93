"""Event streams and what the HTML standard makes of them, after the cases of the web platform tests for EventSource."""

import itertools
from typing import NamedTuple


class Heard(NamedTuple):
    """One event as it is dispatched."""

    event: str
    data: str
    id: str


class Vector(NamedTuple):
    """A stream in the chunks it comes in.

    Attributes:
        retry_ms: The reconnection time it asks for; None when it asks for none. At most a second: a browser comes back.
    """

    name: str
    chunks: list[bytes]
    events: list[Heard]
    retry_ms: int | None = None


def of(*data: str) -> list[Heard]:
    """Events of no other type and without an id."""
    return [Heard("message", one, "") for one in data]


LONG = "x" * 5000


def _ends() -> list[Vector]:
    """Two lines and the empty one after them, ended in every way, and again by what is left of it."""
    vectors = []
    for ends in itertools.product(("\n", "\r", "\r\n"), repeat=4):
        stream = "data: a{}data: b{}{}data: c{}".format(*ends)
        # A CR with an LF after it is one end of a line, whoever meant it as two.
        ended = ends[1] + ends[2] != "\r\n"
        name = "ends " + " ".join({"\n": "LF", "\r": "CR", "\r\n": "CRLF"}[end] for end in ends)
        vectors.append(Vector(name, [f"{stream}\n\n".encode()], of("a\nb", "c") if ended else of("a\nb\nc")))
    return vectors


VECTORS = [
    Vector("bom", ["\ufeffdata:1\n\n\ufeffdata:2\n\ndata:3\n\n".encode()], of("1", "3")),
    Vector("two boms", ["\ufeff\ufeffdata:1\n\ndata:2\n\ndata:3\n\n".encode()], of("2", "3")),
    Vector("bom in pieces", [b"\xef", b"\xbb", b"\xbfda", b"ta:1\n\n"], of("1")),
    Vector(
        "comments",
        [f"data:1\r:\0\n:\r\ndata:2\n:{LONG}\rdata:3\n:data:fail\r:{LONG}\ndata:4\n\n".encode()],
        of("1\n2\n3\n4"),
    ),
    Vector("before the final empty line", [b"data:test1\n\nid:test\ndata:test2"], of("test1")),
    Vector("before the final empty line, ended", [b"data:test1\n\ndata:test2\n"], of("test1")),
    Vector("field data", [b"data:\n\ndata\ndata\n\ndata:test\n\n"], of("", "\n", "test")),
    Vector("field event", [b"event:test\ndata:x\n\ndata:x\n\n"], [Heard("test", "x", ""), *of("x")]),
    Vector("field event, last one", [b"event: a\nevent: b\ndata: x\n\n"], [Heard("b", "x", "")]),
    Vector("field event empty", [b"event: \ndata:data\n\n"], of("data")),
    Vector("field event without data", [b"event: test\n\ndata: x\n\n"], of("x")),
    Vector("field id", [b"id: 1\ndata: a\n\ndata: b\n\n"], [Heard("message", "a", "1"), Heard("message", "b", "1")]),
    Vector("field id without data", [b"id: 1\n\ndata: a\n\n"], [Heard("message", "a", "1")]),
    Vector("field id taken back", [b"id: 1\ndata: a\n\nid\ndata: b\n\n"], [Heard("message", "a", "1"), *of("b")]),
    Vector("field id not ASCII", ["id: \u2026\ndata: a\n\n".encode()], [Heard("message", "a", "\u2026")]),
    Vector("field id null", [b"id: 1\nid: \0\nid: 2\0\nid: \x003\ndata: a\n\n"], [Heard("message", "a", "1")]),
    Vector(
        "field parsing",
        [
            b"data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\n",
            b"data:4\n\n",
        ],
        of("\0\n 2\n1\n3\n\n4"),
    ),
    Vector("field retry", [b"retry:150\ndata:x\n\n"], of("x"), 150),
    Vector("field retry alone", [b"retry: 150\n\ndata: x\n\n"], of("x"), 150),
    Vector("field retry bogus", [b"retry:150\nretry:9000x\nretry: -1\nretry:+9\nretry:9e3\ndata:x\n\n"], of("x"), 150),
    Vector("field retry bogus alone", [b"retry:1s\ndata:x\n\n"], of("x")),
    Vector("field retry empty", [b"retry\ndata:test\n\n"], of("test")),
    Vector(
        "field unknown",
        [b"data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:test\n\n"],
        of("test\n\ntest"),
    ),
    Vector("leading space", [b"data:\ttest\rdata: \ndata:test\n\n"], of("\ttest\n\ntest")),
    Vector("colons", [b"data: a: b:\n\ndata::\n\n"], of("a: b:", ":")),
    Vector("newlines", [b"data:test\r\ndata\ndata:test\r\n\r"], of("test\n\ntest")),
    Vector("null characters", [b"data:\0\n\n\n\n"], of("\0")),
    Vector("utf-8", ["data:ok\u2026 \u00e9 \U0001f9ed \u200d \ufe0f\n\n".encode()], of("ok… é 🧭 \u200d \ufe0f")),
    Vector("utf-8 in pieces", [b"data: \xf0", b"\x9f\xa7", b"\xad\xc3", b"\xa9\n\n"], of("🧭é")),
    Vector("not utf-8", [b"data: \xff a\xc3( \xed\xa0\x80\n\n"], of("\ufffd a\ufffd( \ufffd\ufffd\ufffd")),
    Vector(
        "not ends of lines",
        ["data: a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\n\n".encode()],
        of("a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg"),
    ),
    Vector("cut between CR and LF", [b"data: a\r", b"\ndata: b\r\n\r", b"\ndata: c\r", b"\n\r\n"], of("a\nb", "c")),
    Vector(
        "cut in names and values",
        [b"da", b"ta: a\nev", b"ent: te", b"st\nid: 1", b"2\n", b"\n"],
        [Heard("test", "a", "12")],
    ),
    *_ends(),
]

# Media types, and whether an EventSource takes the stream. Of another charset the standard says that it does, in UTF-8,
# and Chromium that it does not; no server here names one.
MIME_TYPES = {
    "text/event-stream": True,
    "text/event-stream;": True,
    "text/event-stream; charset=utf-8": True,
    "TEXT/Event-Stream": True,
    "x bogus": False,
    "text/plain": False,
    "text/event-streams": False,
}
