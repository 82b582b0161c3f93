"""The SSE decoder against the HTML standard, however its input is cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.client.sse import SseDecoder, SseEvent

EXAMPLES = [
    (b"data: a\n\n", [SseEvent("message", "", b"a")]),
    (b"data: a\r\n\r\n", [SseEvent("message", "", b"a")]),
    (b"data: a\r\r", [SseEvent("message", "", b"a")]),
    (b"data: a\r\n\n", [SseEvent("message", "", b"a")]),
    (b"data: a\n\r\n", [SseEvent("message", "", b"a")]),
    (b"\xef\xbb\xbfdata: a\n\n", [SseEvent("message", "", b"a")]),
    (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", [SseEvent("message", "", b"b")]),
    (b"data:a\ndata: b\ndata:  c\n\n", [SseEvent("message", "", b"a\nb\n c")]),
    (b"data\n\n", [SseEvent("message", "", b"")]),
    (b"data\ndata\n\n", [SseEvent("message", "", b"\n")]),
    (b"event: x\n\ndata: a\n\n", [SseEvent("message", "", b"a")]),
    (b"event: x\ndata: a\nid: 7\n\ndata: b\n\n", [SseEvent("x", "7", b"a"), SseEvent("message", "7", b"b")]),
    (b"id: 7\n\nid\ndata: a\n\n", [SseEvent("message", "", b"a")]),
    (b"id: 7\nid: 8\0\ndata: a\n\n", [SseEvent("message", "7", b"a")]),
    (b": comment\nunknown: x\ndata: a\n\n", [SseEvent("message", "", b"a")]),
    ("data: a\u2028b\u0085c\n\n".encode(), [SseEvent("message", "", "a\u2028b\u0085c".encode())]),
    (b"data: unfinished\n", []),
    (b"", []),
]


def decode(chunks: list[bytes]) -> list[SseEvent]:
    """All events of a stream that came in these chunks."""
    decoder = SseDecoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)]


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    """`raw` in pieces; equal places make empty ones."""
    bounds = [0, *sorted(place % (len(raw) + 1) for place in places), len(raw)]
    return [raw[start:end] for start, end in pairwise(bounds)]


@pytest.mark.parametrize(("raw", "events"), EXAMPLES)
def test_standard(raw: bytes, events: list[SseEvent]) -> None:
    """Each rule of the standard holds, for the stream whole and byte by byte."""
    assert decode([raw]) == events
    assert decode([raw[i : i + 1] for i in range(len(raw))]) == events


LINES = st.lists(
    st.sampled_from(
        [b"data: a", b"data:", b"data", b"event: x", b"id: 1", b"id", b"retry: 5", b":c", b"", "data: \u2028é".encode()]
    )
    | st.binary(max_size=5)
)


@given(
    lines=LINES, ends=st.lists(st.sampled_from([b"\n", b"\r", b"\r\n"]), min_size=1), places=st.lists(st.integers(0))
)
def test_any_split(lines: list[bytes], ends: list[bytes], places: list[int]) -> None:
    """Where the chunks were cut changes nothing."""
    raw = b"".join(line + ends[n % len(ends)] for n, line in enumerate(lines))
    assert decode(cut(raw, places)) == decode([raw])


@given(lines=LINES)
def test_line_ends_are_equal(lines: list[bytes]) -> None:
    """LF, CR and CRLF mean the same."""
    plain = [line.replace(b"\r", b"").replace(b"\n", b"") for line in lines]
    first, *others = (decode([b"".join(line + end for line in plain)]) for end in (b"\n", b"\r", b"\r\n"))
    assert others == [first, first]


def test_retry() -> None:
    """A reconnection time is kept though its block dispatches nothing; what is no number is ignored."""
    decoder = SseDecoder()
    assert decoder.feed(b"retry: 3000\n\nretry: soon\n\nretry: 9999999999999999\n\n") == []
    assert decoder.retry_ms == 3000


@pytest.mark.parametrize("chunk", [b"x" * 11, b"data: 1\n" * 2])
def test_endless_event(chunk: bytes) -> None:
    """An event longer than any can be is refused, in one line or in many."""
    decoder = SseDecoder(max_event_bytes=10)
    with pytest.raises(ValueError, match="longer than 10"):
        decoder.feed(chunk)


def test_many_events_are_not_one() -> None:
    """The bound is of an event, not of the stream."""
    decoder = SseDecoder(max_event_bytes=10)
    assert len([event for _ in range(20) for event in decoder.feed(b"data: a\n\n")]) == 20
