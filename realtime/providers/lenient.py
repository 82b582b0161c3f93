"""JSON of a provider that is not quite JSON, or not fit to be passed on, made so at the smallest price.

A strange token costs that token and not the generation.
"""

import json
import math
from typing import Any

import msgspec

# As deep as a client may nest what it sends; what lies deeper is left out.
MAX_DEPTH = 32
# msgpack has no larger ones, and to a JavaScript client these are floats already.
_MIN_INTEGER, _MAX_INTEGER = -(2**63), 2**64 - 1


def tolerant_json(data: bytes) -> bytes:
    """The same JSON with U+FFFD for whatever is half a character, and null for NaN and infinities.

    Some servers cut between the two `\\u` escapes of an emoji, others inside its UTF-8, and a server in Python writes a
    log probability of minus infinity as `-Infinity`. msgspec refuses all three, rightly.

    Raises:
        ValueError: When it is not JSON all the same, or nested deeper than anything a provider means.
    """
    try:
        value = json.loads(data.decode("utf-8-sig", "replace"), parse_constant=_nothing, parse_float=_finite)
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        raise ValueError("too deep") from None
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def any_json(data: bytes) -> Any:
    """The value of JSON of any shape, fit to be passed on.

    Raises:
        ValueError: As `tolerant_json`.
    """
    try:
        value = msgspec.json.decode(data)
    except (ValueError, RecursionError):
        value = msgspec.json.decode(tolerant_json(data))
    return passed_on(value)


def passed_on(value: Any, depth: int = 0) -> Any:
    """Decoded JSON as every wire can carry it: not too deep, and no integer of more than 64 bits."""
    # Most of what is passed on is text, and a call costs more than a look.
    kind = value.__class__
    if kind is dict and depth < MAX_DEPTH:
        return {key: item if item.__class__ is str else passed_on(item, depth + 1) for key, item in value.items()}
    if kind is list and depth < MAX_DEPTH:
        return [item if item.__class__ is str else passed_on(item, depth + 1) for item in value]
    if kind is dict or kind is list:
        return None
    if kind is int and not _MIN_INTEGER <= value <= _MAX_INTEGER:
        return _finite(str(value))
    return value


def _nothing(_constant: str) -> None:
    return None


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None
