"""The NDJSON decoder, however its input is cut."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.client.ndjson import NdjsonDecoder


def decode(chunks: list[bytes]) -> list[bytes]:
    """All lines of a stream that came in these chunks."""
    decoder = NdjsonDecoder()
    return [line for chunk in chunks for line in decoder.feed(chunk)]


@given(values=st.lists(st.text()), places=st.lists(st.integers(0)))
def test_any_split(values: list[str], places: list[int]) -> None:
    """Values come back as they were sent, U+2028 and U+0085 included, wherever the chunks were cut."""
    raw = b"".join(json.dumps(value, ensure_ascii=False).encode("utf-8") + b"\n" for value in values)
    bounds = [0, *sorted(place % (len(raw) + 1) for place in places), len(raw)]
    chunks = [raw[start:end] for start, end in pairwise(bounds)]
    assert [json.loads(line) for line in decode(chunks)] == values


def test_unfinished_line() -> None:
    """A line without its end is no line."""
    assert decode([b"1\n2"]) == [b"1"]


def test_blank_lines() -> None:
    """Blank lines, a CR before the end included, are passed over."""
    assert decode([b"\n1\r\n\r\n", b"  \n", b"", b"2\n"]) == [b"1\r", b"2"]


def test_endless_line() -> None:
    """A line longer than any can be is refused."""
    decoder = NdjsonDecoder(max_line_bytes=4)
    assert decoder.feed(b"1234\n1234") == [b"1234"]
    with pytest.raises(ValueError, match="longer than 4"):
        decoder.feed(b"5")
