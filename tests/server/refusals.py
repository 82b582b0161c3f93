"""Requests and frames that no proper client would send, and what every refusal of them has in common."""

import asyncio
import json
import os
import struct
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from realtime.errors import ERRORS
from tests.support.http import PATIENCE_S
from tests.support.server import Address

# No refusal repeats what was sent, however much that was.
MOST_BYTES = 2000

TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9


class Answer(NamedTuple):
    """A response, read by its Content-Length or to the end of the connection."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


def request_bytes(
    address: Address,
    method: str,
    target: str,
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    body: bytes | None = None,
) -> bytes:
    """A request as bytes: a Host and, for a body, its length are added unless they are given, even as an empty one."""
    lines = list(headers.items() if isinstance(headers, Mapping) else headers)
    names = {name.lower() for name, _ in lines}
    if "host" not in names:
        lines.append(("Host", f"{address.host}:{address.port}"))
    if body is not None:
        if "content-type" not in names:
            lines.append(("Content-Type", "application/json"))
        if not names & {"content-length", "transfer-encoding"}:
            lines.append(("Content-Length", str(len(body))))
    head = "\r\n".join([f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in lines), "", ""])
    return head.encode("latin-1") + (body or b"")


@asynccontextmanager
async def connected(address: Address) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A plain connection, gone without a word in the end."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield reader, writer
    finally:
        writer.transport.abort()
        # One turn for the transport to let go of its socket.
        await asyncio.sleep(0)


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """Read one response."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status_line, *lines = head.split("\r\n")[:-2]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    status = int(status_line.split()[1])
    if status in (101, 204):
        return Answer(status, headers, b"")
    length = headers.get("content-length")
    return Answer(status, headers, await (reader.read() if length is None else reader.readexactly(int(length))))


async def ask(address: Address, data: bytes) -> Answer:
    """Send bytes on a connection of their own and read one response."""
    async with connected(address) as (reader, writer):
        writer.write(data)
        return await read_answer(reader)


def assert_object(error: dict[str, Any], code: str, field: str | None = None, names: str = "") -> None:
    """Check an error object: of the closed set, a sentence that names what is wrong, nobody's insides."""
    assert error["code"] == code, error
    assert error["retryable"] is ERRORS[code].retryable
    assert error.get("field") == field, error
    assert error["message"].endswith("."), error
    assert names in error["message"], error
    assert "Traceback" not in error["message"]
    assert ".py" not in error["message"]


def assert_problem(answer: Answer, code: str, field: str | None = None, names: str = "") -> dict[str, Any]:
    """Check a refusal: a small problem document with the code's own status; the document."""
    assert answer.status == ERRORS[code].status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers.get("cache-control", "no-store") == "no-store"
    assert len(answer.body) < MOST_BYTES
    problem: dict[str, Any] = answer.json()
    assert_object(problem, code, field, names)
    assert problem["status"] == answer.status
    assert problem["detail"] == problem["message"]
    assert problem["title"] == ERRORS[code].title
    assert problem["type"] == "about:blank"
    return problem


# WebSocket, by hand.


def handshake_bytes(
    address: Address, headers: Iterable[tuple[str, str]] = (), *, target: str = "/v1/ws", protocol: str | None = None
) -> bytes:
    """A handshake."""
    offered = [("Sec-WebSocket-Protocol", protocol)] if protocol is not None else []
    own = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    return request_bytes(address, "GET", target, [*own, *offered, *headers])


def frame(opcode: int, payload: bytes, *, fin: bool = True, masked: bool = True) -> bytes:
    """A frame, as a client sends it."""
    mask_bit, size = 0x80 if masked else 0, len(payload)
    head = bytes([(0x80 if fin else 0) | opcode])
    if size < 126:
        head += bytes([mask_bit | size])
    elif size < 65536:
        head += bytes([mask_bit | 126]) + struct.pack("!H", size)
    else:
        head += bytes([mask_bit | 127]) + struct.pack("!Q", size)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    repeated = (mask * (size // 4 + 1))[:size]
    hidden = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return head + mask + hidden.to_bytes(size, "big")


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read one unfragmented frame of the server: its opcode and payload."""
    first, second = await reader.readexactly(2)
    size = second & 0x7F
    if size == 126:
        (size,) = struct.unpack("!H", await reader.readexactly(2))
    elif size == 127:
        (size,) = struct.unpack("!Q", await reader.readexactly(8))
    return first & 0x0F, await reader.readexactly(size)


@asynccontextmanager
async def shaken(
    address: Address, protocol: str | None = None, headers: Iterable[tuple[str, str]] = ()
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A WebSocket after its handshake."""
    async with connected(address) as (reader, writer):
        writer.write(handshake_bytes(address, headers, protocol=protocol))
        answer = await read_answer(reader)
        assert answer.status == 101, answer
        yield reader, writer


def close_code(payload: bytes) -> int:
    """The code of a close frame."""
    (code,) = struct.unpack("!H", payload[:2])
    assert isinstance(code, int)
    return code
