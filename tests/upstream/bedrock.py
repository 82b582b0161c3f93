"""The bytes of Anthropic's events as Amazon Bedrock frames them, from the specification and by nobody's library."""

import json
from base64 import b64encode
from binascii import crc32
from collections.abc import Iterable, Mapping
from struct import pack


def message(headers: Mapping[str, str], payload: bytes, *, more: bytes = b"") -> bytes:
    """One message.

    Args:
        more: Further headers, encoded.
    """
    encoded = more + b"".join(header(name, 7, pack(">H", len(text)) + text.encode()) for name, text in headers.items())
    prelude = pack(">II", 16 + len(encoded) + len(payload), len(encoded))
    body = prelude + pack(">I", crc32(prelude)) + encoded + payload
    return body + pack(">I", crc32(body))


def header(name: str, kind: int, value: bytes) -> bytes:
    """A header of any type."""
    return bytes([len(name)]) + name.encode() + bytes([kind]) + value


def chunk(data: bytes) -> bytes:
    """What Anthropic would send as `data:`."""
    headers = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
    # `p` is padding, so that the length of a message does not tell that of its text.
    return message(headers, json.dumps({"bytes": b64encode(data).decode(), "p": "abcdefghij"}).encode())


def framed(events: Iterable[bytes]) -> list[bytes]:
    """A stream of server-sent events as Bedrock would send it."""
    return [chunk(event.partition(b"data: ")[2].removesuffix(b"\n\n")) for event in events]


def exception(kind: str, text: str = "broken") -> bytes:
    """What ends a stream that had begun well."""
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return message(headers, json.dumps({"message": text}).encode())
