"""The two WebSocket subprotocols: how messages to and from a client are written.

A slice of events travels as one message. It is joined from frames that were encoded once, by writing the envelope
around them, so a message costs its observers no encoding at all.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from realtime.errors import RealtimeError
from realtime.events import Entry
from realtime.strict import decode_json, decode_msgpack

from .codec import Codec, Control, control_msgpack, event_json, event_msgpack, json_line


class Subprotocol(Codec, Protocol):
    """A codec that also reads commands and writes replies.

    Attributes:
        subprotocol: As negotiated in the handshake.
        binary: Whether messages are binary frames.
    """

    subprotocol: str
    binary: bool

    def decode(self, message: bytes | str) -> Any:
        """Decode a client's message, strictly; raises `bad_request`."""
        ...

    def reply(self, value: dict[str, Any]) -> bytes:
        """Encode a reply to a command."""
        ...


class JsonMessages:
    """`realtime.v1.json`: text frames."""

    name = "ws"
    subprotocol = "realtime.v1.json"
    binary = False
    content_type = b""
    breaks_on_failure = False

    def frame(self, epoch: str, entry: Entry, /) -> bytes:
        return event_json(epoch, entry)

    def join(self, generation: str, frames: Sequence[bytes], /) -> bytes:
        return b'{"type":"events","generation":"%b","events":[%b]}' % (generation.encode(), b",".join(frames))

    def preamble(self, retry_ms: int) -> bytes:  # noqa: ARG002 - a socket has no reconnect of its own
        return b""

    def control(self, frame: Control) -> bytes:
        return json_line(frame)

    def decode(self, message: bytes | str) -> Any:
        try:
            return decode_json(message)
        except RealtimeError as error:
            # Over HTTP the same text is a body.
            said = error.error.message.replace("The body", "The message", 1)
            raise RealtimeError(error.error.code, said, limit=error.error.limit) from None

    def reply(self, value: dict[str, Any]) -> bytes:
        return json_line(value)


class MsgpackMessages:
    """`realtime.v1.msgpack`: binary frames."""

    name = "ws"
    subprotocol = "realtime.v1.msgpack"
    binary = True
    content_type = b""
    breaks_on_failure = False

    def frame(self, epoch: str, entry: Entry, /) -> bytes:
        return event_msgpack(epoch, entry)

    def join(self, generation: str, frames: Sequence[bytes], /) -> bytes:
        head = b"\x83\xa4type\xa6events\xaageneration" + control_msgpack(generation)
        # array 32: one form for any number of events.
        return b"%b\xa6events\xdd%b%b" % (head, len(frames).to_bytes(4, "big"), b"".join(frames))

    def preamble(self, retry_ms: int) -> bytes:  # noqa: ARG002 - a socket has no reconnect of its own
        return b""

    def control(self, frame: Control) -> bytes:
        return control_msgpack(frame)

    def decode(self, message: bytes | str) -> Any:
        return decode_msgpack(message if isinstance(message, bytes) else message.encode())

    def reply(self, value: dict[str, Any]) -> bytes:
        return control_msgpack(value)


JSON_MESSAGES = JsonMessages()
MSGPACK_MESSAGES = MsgpackMessages()
SUBPROTOCOLS: dict[str, Subprotocol] = {wire.subprotocol: wire for wire in (JSON_MESSAGES, MSGPACK_MESSAGES)}
