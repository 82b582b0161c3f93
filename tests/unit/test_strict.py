"""Bytes from outside: what is refused, how, and that nothing else happens."""

from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.errors import RealtimeError
from realtime.request import StartRequest
from realtime.strict import MAX_DEPTH, convert, decode_json, decode_msgpack


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"NaN",
        b"[Infinity]",
        b"1e999",
        b'"\\ud800"',
        b'"\xff"',
        b"9007199254740993",
        b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b"[" * 100_000,
        b'{"a":1}x',
    ],
)
def test_json_that_is_not_strict_is_refused(raw: bytes) -> None:
    """bad_request, with a sentence that quotes nothing."""
    with pytest.raises(RealtimeError) as caught:
        decode_json(raw)
    assert caught.value.code == "bad_request"
    assert len(caught.value.error.message) < 100


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xc1",
        b"\x91" * 5000,
        b"\xa1\xff",
        msgpack.packb(float("nan")),
        msgpack.packb({1: 2}),
        msgpack.packb(b"binary"),
        msgpack.packb(2**60),
        msgpack.packb(msgpack.ExtType(5, b"x")),
        msgpack.packb(msgpack.Timestamp(1)),
        msgpack.packb(1) + b"\x01",
    ],
)
def test_msgpack_that_is_not_json_is_refused(raw: bytes) -> None:
    """The same bounds, the same code."""
    with pytest.raises(RealtimeError) as caught:
        decode_msgpack(raw)
    assert caught.value.code == "bad_request"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_both_forms_of_a_value_are_the_same(value: Any) -> None:
    """What is plain JSON comes through JSON and msgpack unchanged."""
    assert decode_json(msgspec.json.encode(value)) == value
    assert decode_msgpack(msgpack.packb(value)) == value


@given(st.binary())
def test_no_bytes_break_it(raw: bytes) -> None:
    """A value or bad_request, never another exception."""
    for decode in (decode_json, decode_msgpack):
        try:
            decode(raw)
        except RealtimeError as error:
            code = error.code
        else:
            code = "bad_request"
        assert code == "bad_request"


@pytest.mark.parametrize(
    ("body", "field", "limit"),
    [
        ({"prompt": "x"}, "model", None),
        ({"model": 1}, "model", None),
        ({"model": "/none"}, "model", None),
        ({"model": "demo/x", "nope": 1}, "nope", None),
        ({"model": "demo/x", "temperature": 3}, "temperature", 2),
        (
            {"model": "demo/x", "messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0].content[0].text",
            None,
        ),
        ({"model": "demo/x", "messages": [{"role": "king", "content": "x"}]}, "messages[0].role", None),
        ({"model": "demo/x", "deadlines": {"idle": 0}}, "deadlines.idle", 0),
    ],
)
def test_a_refusal_names_the_field_and_the_limit(body: object, field: str, limit: float | None) -> None:
    """A caller can find what is wrong without guessing, and no value is echoed."""
    with pytest.raises(RealtimeError) as caught:
        convert(body, StartRequest)
    error = caught.value.error
    assert (error.field, error.limit) == (field, limit)
    assert "king" not in error.message
