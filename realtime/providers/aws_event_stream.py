"""AWS's framing of a stream (`application/vnd.amazon.eventstream`), in which Bedrock puts the events of Messages.

Of the specification (smithy.io, "Amazon Event Stream"): a message is its length and that of its headers, four bytes
each, their CRC32, the headers, the payload, and the CRC32 of all before. Bedrock's payload is a JSON object whose
`bytes` are, in base64, the JSON that Anthropic itself would send as `data:`. What is an exception here would be an
`error` event there, and is made one.
"""

import struct
from binascii import crc32
from collections.abc import Iterator

import msgspec

from ..errors import RealtimeError
from .event_stream import MAX_EVENT_BYTES, ServerEvent
from .faults import from_garbage

_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
# Of the specification; headers may take another 128 KiB.
_MAX_HEADER_BYTES = 128 * 1024
# What the values of a header's types take: booleans nothing, numbers and a time what they are, a UUID 16 bytes. Types
# 6 and 7, bytes and text, say it themselves.
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_SIZED = (6, 7)


class _Chunk(msgspec.Struct):
    carried: bytes = msgspec.field(name="bytes", default=b"")


_decode_chunk = msgspec.json.Decoder(_Chunk).decode


class AwsSplitter:
    """Turns chunks of one such stream into the events it carries. See `Splitter`."""

    # A body that is something else fails with its first twelve bytes.
    rest = b""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, chunk: bytes) -> Iterator[ServerEvent]:
        """Take the next bytes and give the events they complete, one by one: those before a fault are good.

        Raises:
            RealtimeError: `upstream_protocol` when this is no such stream, or a message is larger than
                `MAX_EVENT_BYTES`.
        """
        held = self._held
        held += chunk
        at = 0
        try:
            while (size := _size(held, at)) and len(held) - at >= size:
                message = bytes(held[at : at + size])
                at += size
                yield _event(message)
        finally:
            del held[:at]


def _size(held: bytearray, at: int) -> int:
    """Of the message that begins there; 0 while that is not known."""
    if len(held) - at < _PRELUDE.size:
        return 0
    size, headers, checksum = _PRELUDE.unpack_from(held, at)
    least = _PRELUDE.size + headers + _CRC.size
    if crc32(held[at : at + 8]) != checksum or size < least or headers > _MAX_HEADER_BYTES:
        raise from_garbage("The provider answered with something that is not an event stream.", bytes(held[at:]))
    if size > MAX_EVENT_BYTES:
        limit = MAX_EVENT_BYTES // 1024 // 1024
        raise RealtimeError("upstream_protocol", f"The provider sent an event larger than {limit} MiB.", limit=limit)
    return int(size)


def _event(message: bytes) -> ServerEvent:
    """What a whole message says."""
    (checksum,) = _CRC.unpack_from(message, len(message) - _CRC.size)
    if crc32(message[: -_CRC.size]) != checksum:
        raise from_garbage("The provider sent a message that was damaged on its way.", message)
    _, headers_size, _ = _PRELUDE.unpack_from(message)
    body = _PRELUDE.size + headers_size
    headers, payload = _headers(message[_PRELUDE.size : body]), message[body : -_CRC.size]
    match headers.get(":message-type", "event"):
        case "event" if headers.get(":event-type") == "chunk":
            return ServerEvent(b"", _carried(payload))
        case "event":
            return ServerEvent(headers.get(":event-type", "").encode(), b"{}")
        case _:
            name = headers.get(":exception-type") or headers.get(":error-code", "")
            return ServerEvent(b"error", msgspec.json.encode({"type": "error", "error": {"type": name}}))


def _carried(payload: bytes) -> bytes:
    try:
        return _decode_chunk(payload).carried
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise from_garbage("The provider sent a message that carries no event.", payload) from None


def _headers(data: bytes) -> dict[str, str]:
    """Those that are text."""
    headers, at = {}, 0
    try:
        while at < len(data):
            end = at + 1 + data[at]
            name, kind, at = data[at + 1 : end], data[end], end + 1
            if kind in _SIZED:
                (size,) = struct.unpack_from(">H", data, at)
                at += 2
            else:
                size = _SIZES[kind]
            if kind == 7:
                headers[name.decode()] = data[at : at + size].decode()
            at += size
    except (IndexError, KeyError, UnicodeDecodeError, struct.error):
        raise from_garbage("The provider sent a message whose headers are none.", data) from None
    return headers
