"""One HTTP request on a plain socket of its own, and the few requests every test makes."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from .parsers import ChunkedBody
from .server import Address

# Whatever takes longer than this has hung; nothing here waits for time to pass.
PATIENCE_S = 30.0


class BrokenError(Exception):
    """The connection ended in the middle of something."""


class Response(NamedTuple):
    """A whole HTTP response; `complete` is false when its body was cut."""

    status: int
    headers: dict[str, str]
    body: bytes
    complete: bool

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


async def dial(address: Address, receive_buffer: int | None = None) -> socket.socket:
    """A connected socket; the size of its buffer must be known before it connects."""
    sock = socket.socket()
    sock.setblocking(False)
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    try:
        await asyncio.get_running_loop().sock_connect(sock, tuple(address))
    except BaseException:
        sock.close()
        raise
    return sock


class HttpExchange:
    """One request and its response, on a connection of its own.

    Args:
        receive_buffer: Bytes the kernel may hold for us; by default it decides.
    """

    def __init__(self, address: Address, *, receive_buffer: int | None = None) -> None:
        self._address = address
        self._receive_buffer = receive_buffer
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self.status = 0
        self.headers: dict[str, str] = {}
        self.complete = False

    async def ask(
        self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> None:
        """Send a request and read the head of its response.

        Raises:
            BrokenError: There was no whole head.
        """
        try:
            sock = await dial(self._address, self._receive_buffer)
            self._reader, self._writer = await asyncio.open_connection(sock=sock)
            lines = [f"{method} {target} HTTP/1.1", f"Host: {self._address.host}:{self._address.port}"]
            lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
            if body is not None:
                lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
            self._writer.write("\r\n".join([*lines, "", ""]).encode() + (body or b""))
            head = await self._reader.readuntil(b"\r\n\r\n")
        except (OSError, asyncio.IncompleteReadError):
            raise BrokenError from None
        status_line, *fields = head.decode("latin-1").split("\r\n")[:-2]
        self.status = int(status_line.split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}

    async def body(self) -> AsyncIterator[bytes]:
        """The body as it arrives. It ends quietly where the connection does; `complete` says whether that was all."""
        assert self._reader is not None
        chunked = ChunkedBody() if self.headers.get("transfer-encoding") == "chunked" else None
        left = 0 if self.status == 204 else int(self.headers.get("content-length", 0))
        self.complete = chunked is None and left == 0
        while not self.complete:
            try:
                data = await self._reader.read(65536)
            except OSError:
                return
            if not data:
                return
            if chunked is not None:
                data = chunked.feed(data)
                self.complete = chunked.complete
            else:
                left -= len(data)
                self.complete = left == 0
            if data:
                yield data

    @property
    def transport(self) -> asyncio.Transport:
        """For `pause_reading`: a peer that does not read."""
        assert self._writer is not None
        assert isinstance(self._writer.transport, asyncio.Transport)
        return self._writer.transport

    async def close(self) -> None:
        """Leave, without a word."""
        if self._writer is not None:
            self._writer.transport.abort()
            # One turn for the transport to let go of its socket.
            await asyncio.sleep(0)


async def request(
    address: Address,
    method: str,
    target: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Ask for something and read the whole answer, or as much of it as there is."""
    exchange = HttpExchange(address)
    async with asyncio.timeout(PATIENCE_S):
        try:
            await exchange.ask(method, target, headers, None if body is None else json.dumps(body).encode())
            data = b"".join([chunk async for chunk in exchange.body()])
        finally:
            await exchange.close()
    return Response(exchange.status, exchange.headers, data, exchange.complete)


async def start(address: Address, **body: Any) -> str:
    """Start a generation; its id."""
    answer = await request(address, "POST", "/v1/generations", {"prompt": "Say something.", **body})
    assert answer.status == 201, answer
    generation = answer.json()["id"]
    assert isinstance(generation, str)
    return generation


async def stop(address: Address, generation: str) -> dict[str, Any]:
    """Stop a generation over HTTP; the state it was found in."""
    answer = await request(address, "POST", f"/v1/generations/{generation}/stop")
    assert answer.status == 200, answer
    found: dict[str, Any] = answer.json()
    return found


async def read_text(
    address: Address, generation: str, headers: Mapping[str, str] | None = None, **options: Any
) -> Response:
    """Observe a generation on the `text` wire."""
    options = {"wire": "text", **options}
    return await request(address, "GET", f"/v1/generations/{generation}/events?{urlencode(options)}", headers=headers)
