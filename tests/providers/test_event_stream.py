"""The splitter against a slow and obvious reading of the same bytes."""

import re
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.errors import RealtimeError
from realtime.providers.event_stream import MAX_EVENT_BYTES, ServerEvent, Splitter

from ..upstream import cut
from .fuzz import WIRES, Wire, translated

# Everything that ends a line, looks like it might, or sits at the edge of a field.
_TOKENS = [
    b"data",
    b"data: ",
    b"data:",
    b"event: ",
    b": comment",
    b"id: 7",
    b"retry: 3",
    b"\n",
    b"\n\n",
    b"\r",
    b"\r\n",
    b"\r\n\r\n",
    b"x",
    b" ",
    b":",
    b'{"a":1}',
    "\u2028\u0085\x0b\x0c".encode(),
    "é😀".encode(),
    b"\xef\xbb\xbf",
]


def obvious(stream: bytes) -> list[ServerEvent]:
    """The specification's algorithm, line by line over all of it."""
    events = []
    name = b""
    data: list[bytes] = []
    lines = re.split(rb"\r\n|\r|\n", stream.removeprefix(b"\xef\xbb\xbf"))
    for line in lines[:-1]:
        field, _, value = line.partition(b":")
        if not line:
            if data:
                events.append(ServerEvent(name, b"\n".join(data)))
            name, data = b"", []
        elif field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    return events


def fed(chunks: Iterable[bytes]) -> list[ServerEvent]:
    """What a fresh splitter makes of `chunks`."""
    splitter = Splitter()
    return [event for chunk in chunks for event in splitter.feed(chunk)]


@given(st.lists(st.sampled_from(_TOKENS), max_size=40), st.lists(st.integers(0, 200), max_size=12))
def test_any_cut_gives_the_events_of_the_specification(tokens: list[bytes], places: list[int]) -> None:
    """Wherever the network cuts a stream, its events are those the specification finds in the whole."""
    stream = b"".join(tokens)
    ends = [*sorted(min(place, len(stream)) for place in places), len(stream)]
    chunks = [stream[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    expected = obvious(stream)
    assert fed(chunks) == expected
    assert fed([stream]) == expected


@given(st.lists(st.sampled_from(_TOKENS), max_size=30))
def test_one_byte_at_a_time_is_no_different(tokens: list[bytes]) -> None:
    """The worst cut of all, a chunk for each byte, gives the same events."""
    stream = b"".join(tokens)
    assert fed(stream[at : at + 1] for at in range(len(stream))) == obvious(stream)


def test_a_line_end_that_is_cut_is_one() -> None:
    """The LF that the next read begins with belongs to the CR of this one, and ends no line of its own."""
    assert fed([b"event: e\r", b"\ndata: a\r", b"\ndata: b\r", b"\n\r", b"\n"]) == [ServerEvent(b"e", b"a\nb")]


STREAMS = [
    pytest.param(wire, sample, id=f"{name} {number}")
    for name, wire in sorted(WIRES.items())
    for number, sample in enumerate(wire.samples)
]


@pytest.mark.parametrize(("wire", "stream"), STREAMS)
def test_the_events_of_a_provider_byte_by_byte(wire: Wire, stream: bytes) -> None:
    """A real stream that comes a byte at a time, cut in characters and line ends, says what it says in one piece."""
    each = [stream[at : at + 1] for at in range(len(stream))]
    assert translated(wire, each) == translated(wire, [stream])


@given(
    st.sampled_from(STREAMS), st.lists(st.integers(0, 100_000), max_size=30), st.sampled_from([b"\n", b"\r\n", b"\r"])
)
def test_the_events_of_a_provider_however_cut(param: Any, places: list[int], end: bytes) -> None:
    """Any cut of a real stream, with any line ends, gives the same events and the same ending."""
    wire, stream = param.values
    expected = translated(wire, [stream])
    ended = stream if wire.framing is not Splitter else stream.replace(b"\r\n", b"\n").replace(b"\n", end)
    assert translated(wire, cut(ended, *(place % (len(ended) + 1) for place in places))) == expected


def test_an_unicode_line_separator_does_not_end_a_line() -> None:
    """JSON may hold U+2028, U+2029 and U+0085 as they are, and they stay inside their event."""
    data = '{"t":"a\u2028b\u2029c\u0085d"}'.encode()
    assert fed([b"data: %b\n\n" % data]) == [ServerEvent(b"", data)]


def test_lines_of_data_are_joined() -> None:
    """Several data lines are one value with newlines between them, and one space after the colon is not part of it."""
    assert fed([b"event: e\ndata: a\ndata\ndata:  b\n\n"]) == [ServerEvent(b"e", b"a\n\n b")]


def test_a_comment_makes_no_event() -> None:
    """A keep-alive gives an empty list, which is still a sign of life, and does not disturb the event it interrupts."""
    splitter = Splitter()
    assert splitter.feed(b": PROCESSING\n\n") == []
    assert splitter.feed(b"data: a\n: x\n\n") == [ServerEvent(b"", b"a")]


def test_what_was_never_completed_is_no_event() -> None:
    """A stream that ends without a blank line has not finished its last event; `rest` tells what there was."""
    splitter = Splitter()
    assert splitter.feed(b"data: a\n\ndata: b\n") == [ServerEvent(b"", b"a")]
    assert splitter.rest == b"data: b\n"


@pytest.mark.parametrize("piece", [1 << 16, MAX_EVENT_BYTES + 100])
def test_an_event_that_is_too_large_is_refused(piece: int) -> None:
    """Memory is bounded whatever a provider sends, in one piece or in many, and the error says what was wrong."""
    stream = b"data: " + b"x" * MAX_EVENT_BYTES + b"\n\n"
    with pytest.raises(RealtimeError) as raised:
        fed(stream[at : at + piece] for at in range(0, len(stream), piece))
    assert raised.value.code == "upstream_protocol"
    assert "8 MiB" in raised.value.error.message
    assert raised.value.error.limit == 8


def test_a_large_event_within_the_limit_is_whole() -> None:
    """An image of some megabytes in one event arrives as one event."""
    data = b"x" * (MAX_EVENT_BYTES - 6)
    stream = b"data: %b\n\n" % data
    assert fed(stream[at : at + 16384] for at in range(0, len(stream), 16384)) == [ServerEvent(b"", data)]
