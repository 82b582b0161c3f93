"""Cursors: a closed alphabet, and nothing else gets through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.cursor import Cursor, encode_epoch, parse_cursor
from realtime.errors import RealtimeError


@given(st.integers(0, 2**62), st.integers(0, 10**15 - 1))
def test_a_cursor_is_read_back(epoch: int, seq: int) -> None:
    """What is given out is understood when it comes back."""
    cursor = Cursor(encode_epoch(epoch), seq)
    assert parse_cursor(str(cursor)) == cursor


@given(st.integers(0, 2**62), st.integers(0, 2**62))
def test_epochs_are_told_apart(one: int, two: int) -> None:
    """Two epochs are written the same only when they are the same."""
    assert (encode_epoch(one) == encode_epoch(two)) == (one == two)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "a-",
        "-1",
        "a-01",
        "a-+1",
        "A-1",
        "a-1 ",
        "a-1\n",
        "a_1",
        "a-1-1",
        "a-٣",
        "x" * 13 + "-1",
        "a-" + "9" * 16,
    ],
)
def test_anything_else_is_a_bad_cursor(text: str) -> None:
    """Every other string is refused by name, and is not echoed."""
    with pytest.raises(RealtimeError) as caught:
        parse_cursor(text, "Last-Event-ID")
    assert caught.value.code == "bad_cursor"
    assert caught.value.error.field == "Last-Event-ID"


@given(st.text())
def test_no_text_breaks_it(text: str) -> None:
    """Random text is a cursor or a bad_cursor, never another exception."""
    try:
        read = str(parse_cursor(text))
    except RealtimeError as error:
        read = error.code
    assert read in (text, "bad_cursor")
