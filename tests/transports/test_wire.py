"""Which wire a request asks for."""

import pytest

from realtime.errors import RealtimeError
from transports.wire import MEDIA_TYPES, WIRES, accepted_wire, accepts_json, named_wire

SSE, NDJSON, TEXT = "text/event-stream", "application/x-ndjson", "text/plain"

TABLE = [
    ("", None),
    ("*/*", None),
    ("application/json", None),
    ("application/*", None),
    ("text/*", None),
    ("text/html", None),
    (SSE, "sse"),
    (NDJSON, "ndjson"),
    ("application/jsonl", "ndjson"),
    (TEXT, "text"),
    ("Text/Event-Stream", "sse"),
    (f"  {SSE} ; charset=utf-8 ", "sse"),
    (f"application/json, {SSE}", "sse"),
    (f"{SSE}, */*", "sse"),
    # Browsers and `curl` by default.
    ("text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8", None),
    # The first of equals.
    (f"{NDJSON}, {SSE}", "ndjson"),
    (f"{SSE}, {NDJSON}", "sse"),
    # Qualities.
    (f"{SSE};q=0.5, {NDJSON};q=0.9, {TEXT};q=0.1", "ndjson"),
    (f"{SSE};q=0.5, {NDJSON}", "ndjson"),
    (f"{NDJSON};q=0.999, {SSE};q=1.0", "sse"),
    (f"{SSE};Q=0.1, {NDJSON};q=0.2", "ndjson"),
    (f"{SSE}; q=0.1; charset=utf-8, {NDJSON}; charset=utf-8; q=0.2", "ndjson"),
    (f"{SSE};q=0", None),
    (f"{SSE};q=0, {TEXT};q=0.001", "text"),
    # Qualities that are none: never wanted, and never in the way of what is.
    (f"{SSE};q=", None),
    (f"{SSE};q=high", None),
    (f"{SSE};q=-1", None),
    (f"{SSE};q=nan", None),
    (f"{SSE};q=nan, {NDJSON}", "ndjson"),
    (f"{NDJSON}, {SSE};q=nan", "ndjson"),
    (f"{SSE};q=inf, {NDJSON}", "sse"),
    (f"{NDJSON}, {SSE};q=9", "ndjson"),
    # No more than sixteen are read.
    (",".join(["a/b"] * 16 + [SSE]), None),
    (",".join(["a/b"] * 15 + [SSE]), "sse"),
    (",,;;=,q=1", None),
]


@pytest.mark.parametrize(("accept", "wire"), TABLE)
def test_accept(accept: str, wire: str | None) -> None:
    """The streaming type it prefers; one that names none prefers none."""
    chosen = accepted_wire(accept)
    assert (None if chosen is None else chosen.name) == wire


@pytest.mark.parametrize(
    ("accept", "json"),
    [
        ("", True),
        ("*/*", True),
        ("application/json", True),
        ("application/*;q=0.1", True),
        ("Application/JSON; charset=utf-8", True),
        ("application/problem+json", True),
        (f"{SSE}, application/json", True),
        ("text/html", False),
        (SSE, False),
        ("image/png, text/*", False),
    ],
)
def test_accepts_json(accept: str, json: bool) -> None:
    """A plain answer will do for one who names JSON, or anything."""
    assert accepts_json(accept) is json


@pytest.mark.parametrize("name", ["sse", "ndjson", "text"])
def test_named(name: str) -> None:
    """Every wire can be asked for by its name."""
    assert named_wire(name).name == name
    assert WIRES[name] is named_wire(name)


@pytest.mark.parametrize("name", ["", "SSE", "ws", "json", "sse ", "sse,ndjson", "x" * 10_000])
def test_unknown(name: str) -> None:
    """Any other name is refused with those that there are, and is not repeated."""
    with pytest.raises(RealtimeError) as caught:
        named_wire(name)
    assert (caught.value.code, caught.value.error.field) == ("bad_request", "wire")
    assert caught.value.error.message == "wire is one of sse, ndjson, text."


def test_the_content_type_of_a_wire_is_one_that_asks_for_it() -> None:
    """What is answered is what was accepted, in UTF-8."""
    for media, wire in MEDIA_TYPES.items():
        sent, _, charset = wire.content_type.decode().partition("; ")
        assert MEDIA_TYPES[sent] is wire, media
        assert charset == "charset=utf-8"
    assert set(MEDIA_TYPES.values()) == set(WIRES.values())


def test_only_text_tells_a_failure_by_breaking() -> None:
    """The others have a frame for it."""
    assert [name for name, wire in WIRES.items() if wire.breaks_on_failure] == ["text"]
