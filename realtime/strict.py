"""Bytes from outside, made into a request or refused with a sentence that names the field.

Everything a client sends comes through here, JSON and msgpack alike: decode strictly, bound depth and integers, then
convert to the declared type. One refusal for both forms, never an echo of what was sent.
"""

import math
import re
from typing import Any, TypeVar

import msgpack
import msgspec

from .errors import RealtimeError

MAX_DEPTH = 32
# What a JavaScript client can count to; a larger integer would come back changed.
MAX_INTEGER = 2**53

T = TypeVar("T")

_NAMED_FIELD = re.compile(r"(unknown|missing required) field `([^`]{0,64})")
_SENTENCES = {"unknown": "Unknown field", "missing required": "Missing field"}
_PLACE = re.compile(r" - at `\$\.?([^`]{0,200})`")
# Patterns end so because Python's `$` also matches before a line end; to a reader it says nothing.
_NO_LINE_END = re.compile(r"\(\?!\\+n\)")
_LIMIT = re.compile(r"(?:<=|>=|<|>) (-?[0-9.]+)")


def decode_json(raw: bytes | str) -> Any:
    """Decode JSON text: no NaN, no infinite or lone-surrogate value, no bytes that are not UTF-8.

    Raises:
        RealtimeError: `bad_request`.
    """
    try:
        return _bounded(msgspec.json.decode(raw))
    except RecursionError:
        raise RealtimeError("bad_request", f"The JSON is nested deeper than {MAX_DEPTH}.", limit=MAX_DEPTH) from None
    except ValueError:
        raise RealtimeError("bad_request", "The body is not well-formed JSON in UTF-8.") from None


def decode_msgpack(raw: bytes) -> Any:
    """Decode one msgpack value under the same bounds as `decode_json`; no extension types.

    Raises:
        RealtimeError: `bad_request`.
    """
    try:
        return _bounded(msgpack.unpackb(raw, strict_map_key=True, ext_hook=_refuse_extension))
    except (ValueError, msgpack.UnpackException, RecursionError):
        raise RealtimeError("bad_request", "The message is not one well-formed msgpack value.") from None


def convert(value: Any, to: type[T]) -> T:
    """Make a decoded value one of type `to`.

    Raises:
        RealtimeError: `bad_request`, with the path of the field in `field`.
    """
    try:
        return msgspec.convert(value, to)
    except msgspec.ValidationError as error:
        raise _refusal(str(error)) from None


def _refusal(text: str) -> RealtimeError:
    """Turn msgspec's sentence into ours; it names types, limits and field names, and quotes no value but tags."""
    place = _PLACE.search(text)
    field = place[1] if place else None
    sentence = text[: place.start()] if place else text
    named = _NAMED_FIELD.search(text)
    if named is not None:
        field = f"{field}.{named[2]}" if field else named[2]
        return RealtimeError("bad_request", f"{_SENTENCES[named[1]]} {field!r}.", field=field)
    if sentence.startswith("Invalid "):
        sentence = "The value is not one of those allowed"
    limit = _LIMIT.search(sentence)
    prefix = f"{field}: " if field else ""
    return RealtimeError(
        "bad_request",
        f"{prefix}{_NO_LINE_END.sub('', sentence)[:300]}.",
        field=field,
        limit=float(limit[1]) if limit else None,
    )


def _bounded(value: Any) -> Any:
    """Return `value` unless it is too deep, or holds what JSON clients cannot share."""
    level: list[Any] = [value]
    depth = 0
    while level:
        below: list[Any] = []
        for item in level:
            if not isinstance(item, dict | list):
                _check_scalar(item)
                continue
            if depth == MAX_DEPTH:
                raise RealtimeError("bad_request", f"The value is nested deeper than {MAX_DEPTH}.", limit=MAX_DEPTH)
            if isinstance(item, dict):
                if not all(isinstance(key, str) for key in item):
                    raise RealtimeError("bad_request", "A map key is not a string.")
                below.extend(item.values())
            else:
                below.extend(item)
        level = below
        depth += 1
    return value


def _check_scalar(item: Any) -> None:
    if isinstance(item, int) and not -MAX_INTEGER <= item <= MAX_INTEGER:
        raise RealtimeError("bad_request", "An integer is beyond 2^53.", limit=MAX_INTEGER)
    if isinstance(item, float) and not math.isfinite(item):
        raise RealtimeError("bad_request", "A number is not finite.")
    if not isinstance(item, str | int | float | None):
        # msgpack has bytes, and timestamps that no extension hook is asked about.
        raise RealtimeError("bad_request", "Binary values and timestamps are not JSON.")


def _refuse_extension(code: int, _data: bytes) -> Any:
    raise ValueError(f"extension type {code}")
