"""Good requests and commands, made bad: as values, and as bytes."""

import json
import random
from typing import Any

ID = "0123456789abcdef" * 2
# A command may be understood by accident: nothing it then does may take long.
REQUEST: dict[str, Any] = {
    "model": "demo/default",
    "prompt": "x",
    "system": "y",
    "max_tokens": 3,
    "stop": ["z"],
    "options": {"tokens": 1, "rate": 100_000, "seed": 1},
    "conversation": "c",
    "if_busy": "allow",
    "deadlines": {"total": 9, "idle": 1.5},
    "metadata": {"a": [1, {"b": None}]},
}
COMMANDS: list[dict[str, Any]] = [
    {"type": "start", "ref": 1, "request": REQUEST, "observe": False, "idempotency_key": "k"},
    {"type": "observe", "ref": "r", "generation": ID, "after": "a-1", "replay": "merged", "pace": "5,6", "flush_ms": 9},
    {"type": "unobserve", "ref": None, "generation": ID},
    {"type": "stop", "ref": -1, "generation": ID},
    {"type": "ping", "ref": "r"},
]
ODD: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**53, 2**53 + 1, 2**63 - 1, 0.0, -0.5, 1e308, 5e-324),
    *("", " ", "x" * 300, "\x00", "\n", "é", "😀", "\u2028", "null", "NaN", "../..", "%00", "{}", ID, "demo/default"),
    *([], {}, [None], [[]], {"": ""}, {"type": "text"}, ["x"] * 40, {"a": {"a": {"a": {}}}}),
]
TOKENS = b'{}[]",:\\ \n\x00\xff\xc3\xed\xa0\x800123456789.eE+-truefalsenullNaN'


def bent(rng: random.Random, value: Any) -> Any:
    """A copy of a value with one thing in it changed to something odd, taken away, or put in."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        copy = dict(value)
        match rng.randrange(5):
            case 0:
                del copy[key]
            case 1:
                copy[rng.choice(["", "x", "type", "é", "__proto__", key * 50])] = rng.choice(ODD)
            case _:
                copy[key] = bent(rng, value[key])
        return copy
    if isinstance(value, list) and value and rng.random() < 0.6:
        at = rng.randrange(len(value))
        return [*value[:at], bent(rng, value[at]), *value[at + 1 :]]
    return rng.choice(ODD)


def broken(rng: random.Random, data: bytes) -> bytes:
    """Bytes with a few of them cut, repeated, or replaced."""
    broke = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        at, size = rng.randrange(len(broke) + 1), rng.randrange(1, 9)
        match rng.randrange(4):
            case 0:
                del broke[at : at + size]
            case 1:
                broke[at:at] = broke[at : at + size] * rng.randrange(1, 30)
            case 2:
                broke[at : at + 1] = bytes([rng.randrange(256)])
            case _:
                broke[at:at] = bytes(rng.choices(TOKENS, k=size))
    return bytes(broke)


def json_bytes(value: Any) -> bytes:
    """JSON as a client would write it."""
    return json.dumps(value, ensure_ascii=False).encode()
