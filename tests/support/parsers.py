"""The wires as bytes in and frames out, written from the protocol's page and not from the product's code.

Each is fed whatever arrived and gives back the frames that are whole; what is not whole is as if it never came.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgpack


class Frame(NamedTuple):
    """An event or a control frame: the object, and its bytes where the wire carries JSON."""

    value: dict[str, Any]
    raw: bytes | None

    @property
    def is_event(self) -> bool:
        """Events have an id; control frames have none."""
        return "id" in self.value


class ChunkedBody:
    """The chunked transfer coding; `complete` once the last chunk was there."""

    def __init__(self) -> None:
        self.complete = False
        self._data = b""

    def feed(self, data: bytes) -> bytes:
        """The part of the body that is whole now. A chunk counts as it arrives, like in any real client."""
        self._data += data
        body = b""
        while not self.complete:
            head, line_end, rest = self._data.partition(b"\r\n")
            if not line_end:
                return body
            size = int(head, 16)
            if len(rest) < size + 2:
                # Give what is there of the chunk and pretend that it was announced as so much shorter; its last byte
                # waits for the line end, because a chunk that is announced as empty is the last.
                there = rest[: min(size - 1, len(rest))]
                if there:
                    body += there
                    self._data = b"%x\r\n%b" % (size - len(there), rest[len(there) :])
                return body
            assert rest[size : size + 2] == b"\r\n"
            body += rest[:size]
            self._data = rest[size + 2 :]
            self.complete = size == 0
        return body


class SseParser:
    """`text/event-stream`, strictly as our page has it: `\\n` only, one line a field, known fields only."""

    def __init__(self) -> None:
        self.retry_ms: int | None = None
        self.last_id: str | None = None
        self._data = b""

    def feed(self, data: bytes) -> Iterator[Frame]:
        self._data += data
        *blocks, self._data = self._data.split(b"\n\n")
        for block in blocks:
            frame = self._frame(block)
            if frame is not None:
                yield frame

    def _frame(self, block: bytes) -> Frame | None:
        fields: dict[bytes, bytes] = {}
        for line in block.split(b"\n"):
            name, colon, value = line.partition(b": ")
            assert colon, line
            assert name in {b"id", b"event", b"data", b"retry"}, line
            assert name not in fields, block
            fields[name] = value
        if b"retry" in fields:
            self.retry_ms = int(fields[b"retry"])
        if b"data" not in fields:
            return None
        raw = fields[b"data"]
        value = json.loads(raw)
        assert fields[b"event"].decode() == value["type"], block
        if b"id" in fields:
            self.last_id = fields[b"id"].decode()
            assert self.last_id == value.get("id", value.get("cursor")), block
        else:
            assert value["type"] in {"heartbeat", "json", "bye"}, block
        return Frame(value, raw)


class NdjsonParser:
    """One JSON object a line."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> Iterator[Frame]:
        self._data += data
        *lines, self._data = self._data.split(b"\n")
        for line in lines:
            yield Frame(json.loads(line), line)


def json_message(message: str | bytes) -> Iterator[Frame]:
    """What one text message of `realtime.v1.json` holds: replies and control frames as they are, events one by one."""
    assert isinstance(message, str)
    value = json.loads(message)
    if value["type"] != "events":
        yield Frame(value, message.encode())
        return
    # The bytes of each event, found in the message rather than made again.
    at, decoder = message.index('"events":[') + len('"events":['), json.JSONDecoder()
    for event in value["events"]:
        parsed, end = decoder.raw_decode(message, at)
        assert parsed == event
        yield Frame(event, message[at:end].encode())
        at = end + 1
    assert message[at - 1 :] == "]}", message


def msgpack_message(message: str | bytes) -> Iterator[Frame]:
    """What one binary message of `realtime.v1.msgpack` holds."""
    assert isinstance(message, bytes)
    value = msgpack.unpackb(message)
    if value["type"] != "events":
        yield Frame(value, None)
        return
    for event in value["events"]:
        yield Frame(event, None)
