"""Events and control frames as bytes, before any wire frames them.

The JSON of an event is byte-identical on every wire that carries JSON. It is spliced from the event's own encoding and
its place in the log, because making one struct that holds both would cost a copy of every token.
"""

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import msgspec

from realtime.events import PHASES, Entry, State

_to_json = msgspec.json.Encoder().encode
_encode_msgpack = msgspec.msgpack.Encoder().encode

# `{"type":"<tag>"` is how every event's own encoding begins; what follows it is kept as it is.
_TYPES = {kind: f'"type":"{kind.__struct_config__.tag}"'.encode() for kind in PHASES}
# U+2028, U+2029 and U+0085 end a line for some readers (`str.splitlines`, old JavaScript) and are legal in JSON.
_LINE_ENDS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085"))
# A msgpack map of up to 15 pairs has its size in its first byte.
_FIXMAP, _FIXMAP_MAX = 0x80, 15


class Control(msgspec.Struct, frozen=True, tag_field="type"):
    """What a connection says about itself; not in the log."""


class Position(Control, frozen=True, tag="position"):
    """Where the observer is: the cursor it holds, the head of the log, and why it must start again if it must."""

    generation: str
    cursor: str
    head: str
    state: State
    reset: Literal["branch", "trimmed"] | None


class Heartbeat(Control, frozen=True, tag="heartbeat"):
    """Nothing to say for a while; an event because `EventSource` cannot see comments."""


class Json(Control, frozen=True, tag="json"):
    """`view=json`: what the text parses to so far."""

    generation: str
    value: Any
    final: bool


class Bye(Control, frozen=True, tag="bye"):
    """The server will close; come back after `retry_ms`."""

    reason: Literal["draining", "overloaded"]
    retry_ms: int


class Codec(Protocol):
    """A wire's encoding: `realtime.log.Codec` and the frames beside the log.

    Attributes:
        name: The wire's name, for `?wire=` and metrics.
        content_type: Of the HTTP response; empty for message wires.
        breaks_on_failure: Whether a failure, or a reset, can be told only by breaking the connection.
    """

    name: str
    content_type: bytes
    breaks_on_failure: bool

    def frame(self, epoch: str, entry: Entry, /) -> bytes:
        """Encode one event."""
        ...

    def join(self, generation: str, frames: Sequence[bytes], /) -> bytes:
        """Make one slice of several frames."""
        ...

    def preamble(self, retry_ms: int) -> bytes:
        """What comes before everything else."""
        ...

    def control(self, frame: Control) -> bytes:
        """Encode a control frame; empty where the wire has no room for one."""
        ...


def json_line(value: object) -> bytes:
    """Encode a value as JSON on one line, whatever the reader takes for a line's end."""
    data = _to_json(value)
    if not data.isascii():
        for raw, escaped in _LINE_ENDS:
            data = data.replace(raw, escaped)
    return data


def event_json(epoch: str, entry: Entry) -> bytes:
    """The flat JSON object of an event: its id, type and time, then its own fields."""
    event = entry.event
    kind = _TYPES[type(event)]
    rest = json_line(event)[len(kind) + 1 :]
    return b'{"id":"%b-%d",%b,"at":%d%b' % (epoch.encode(), entry.seq, kind, entry.at, rest)


def event_msgpack(epoch: str, entry: Entry) -> bytes:
    """The same object as a msgpack map."""
    data = _to_msgpack(entry.event)
    pairs = data[0] - _FIXMAP
    assert 0 < pairs <= _FIXMAP_MAX - 2, "an event has more fields than a small msgpack map"
    cursor, at = _to_msgpack(f"{epoch}-{entry.seq}"), _to_msgpack(entry.at)
    return b"%c\xa2id%b\xa2at%b%b" % (_FIXMAP + pairs + 2, cursor, at, data[1:])


def control_msgpack(frame: object) -> bytes:
    """A control frame or reply as msgpack."""
    return _to_msgpack(frame)


def _to_msgpack(value: object) -> bytes:
    try:
        return _encode_msgpack(value)
    except OverflowError:
        # A model or a provider may write any integer. MessagePack's end at 64 bits, so a larger one goes as the double
        # that JavaScript reads from the JSON of the same event.
        return _encode_msgpack(_rounded(msgspec.to_builtins(value)))


def _rounded(value: Any) -> Any:
    match value:
        case dict():
            return {key: _rounded(item) for key, item in value.items()}
        case list():
            return [_rounded(item) for item in value]
        case int() if not -(2**63) <= value < 2**64:
            return float(str(value))
    return value
