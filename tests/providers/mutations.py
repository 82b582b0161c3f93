"""Bytes of a stream, changed as broken servers, proxies and cosmic rays change them."""

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

# In JSON as it is written: depth, size, and what its decoders disagree about.
_RAW_VALUES = (
    b"[" * 2000 + b"]" * 2000,
    b'{"a":' * 500 + b"1" + b"}" * 500,
    b"[" * 40 + b"1" + b"]" * 40,
    b"9" * 400,
    b"-1",
    b"18446744073709551616",
    b"1e999",
    b"1.5",
    b"NaN",
    b"-Infinity",
    b'"\\ud83d"',
    b'"\\udc00\\ud83d"',
    b'"\\u0000"',
    b'"\x00"',
    b'"' + b"x" * 5000 + b'"',
    b'{"\\ud800":1}',
    b'"\xff\xfe"',
)
_VALUES: tuple[Any, ...] = (None, True, 0, 7, "", "text", "error", [], [None], {}, {"type": "text"}, [[]], {"error": 1})
_ENDS = (b"\n", b"\r", b"\r\n", b"\n\n", b"\r\n\r\n", b"\r\r")
_BITS = (
    b"\xef\xbb\xbf",
    b"\x00",
    b"\xc3",
    b"\xed\xa0\x80",
    b"data:",
    b"data: ",
    b"event: error\n",
    b": x\n\n",
    b"id: 1\n",
)

Mutation = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


def mutated(chance: random.Random, samples: Sequence[bytes]) -> bytes:
    """One of the samples, changed once or a few times."""
    stream = chance.choice(samples)
    for _ in range(chance.choice((1, 1, 2, 3, 6))):
        stream = chance.choice(_MUTATIONS)(chance, stream, samples)
    return stream


def _flip(chance: random.Random, stream: bytes, _samples: Sequence[bytes]) -> bytes:
    changed = bytearray(stream or b"\n")
    for _ in range(chance.choice((1, 1, 3, 20))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _cut(chance: random.Random, stream: bytes, _samples: Sequence[bytes]) -> bytes:
    start, end = sorted(chance.randrange(len(stream) + 1) for _ in range(2))
    return stream[:start] + stream[end:] if chance.random() < 0.5 else stream[start:end]


def _splice(chance: random.Random, stream: bytes, samples: Sequence[bytes]) -> bytes:
    other = chance.choice(samples)
    return stream[: chance.randrange(len(stream) + 1)] + other[chance.randrange(len(other) + 1) :]


def _insert(chance: random.Random, stream: bytes, _samples: Sequence[bytes]) -> bytes:
    at = chance.choice((0, chance.randrange(len(stream) + 1)))
    return stream[:at] + chance.choice(_BITS + _RAW_VALUES) + stream[at:]


def _end_lines(chance: random.Random, stream: bytes, _samples: Sequence[bytes]) -> bytes:
    lines = stream.split(b"\n")
    usual = chance.choice(_ENDS)
    return b"".join(line + (chance.choice(_ENDS) if chance.random() < 0.1 else usual) for line in lines)


def _rearrange(chance: random.Random, stream: bytes, samples: Sequence[bytes]) -> bytes:
    """Events dropped, repeated, out of order, or of another stream."""
    events = stream.split(b"\n\n")
    at = chance.randrange(len(events))
    match chance.randrange(4):
        case 0:
            del events[at]
        case 1:
            events[at:at] = [events[at]] * chance.choice((1, 2, 50))
        case 2:
            chance.shuffle(events)
        case _:
            events.insert(at, chance.choice(chance.choice(samples).split(b"\n\n")))
    return b"\n\n".join(events)


def _swap_value(chance: random.Random, stream: bytes, _samples: Sequence[bytes]) -> bytes:
    """One value of one event becomes another, of another type or beyond all limits."""
    events = stream.split(b"\n\n")
    at = chance.randrange(len(events))
    name, mark, data = events[at].rpartition(b"data: ")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return stream
    raw = chance.choice(_RAW_VALUES) if chance.random() < 0.4 else None
    new = "\x01" if raw is not None else chance.choice(_VALUES)
    written = json.dumps(_with_one_changed(chance, value, new), ensure_ascii=chance.random() < 0.5)
    changed = written.encode("utf-8", "surrogatepass")
    events[at] = name + mark + (changed if raw is None else changed.replace(b'"\\u0001"', raw))
    return b"\n\n".join(events)


def _with_one_changed(chance: random.Random, value: Any, new: Any) -> Any:
    """`value` with something in it replaced, the deeper the likelier."""
    if not isinstance(value, dict | list) or not value or chance.random() < 0.1:
        return new
    key: Any = chance.choice(list(value)) if isinstance(value, dict) else chance.randrange(len(value))
    changed: Any = value.copy()
    if isinstance(value, dict) and chance.random() < 0.1:
        changed[chance.choice(("type", "index", "usage", "id", "text", "error", "\x00", "x" * 100))] = new
    else:
        changed[key] = _with_one_changed(chance, value[key], new)
    return changed


_MUTATIONS: tuple[Mutation, ...] = (
    _flip,
    _cut,
    _splice,
    _insert,
    _end_lines,
    _rearrange,
    _swap_value,
    _swap_value,
    _swap_value,
)
