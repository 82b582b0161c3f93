"""Connections on plain sockets, one class a transport: what a server sends, seen without the product's own client."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Literal, Protocol
from urllib.parse import urlencode

import msgpack
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from .http import BrokenError, HttpExchange, dial
from .parsers import Frame, NdjsonParser, SseParser, json_message, msgpack_message
from .server import Address

WireName = Literal["sse", "ndjson", "ws-json", "ws-msgpack"]
WIRES: tuple[WireName, ...] = ("sse", "ndjson", "ws-json", "ws-msgpack")
JSON_WIRES: tuple[WireName, ...] = ("sse", "ndjson", "ws-json")

_SUBPROTOCOLS: dict[WireName, str] = {"ws-json": "realtime.v1.json", "ws-msgpack": "realtime.v1.msgpack"}
_ACCEPT: dict[WireName, str] = {"sse": "text/event-stream", "ndjson": "application/x-ndjson"}


class Connection(Protocol):
    """One observation over one connection.

    Attributes:
        status: Of the HTTP response; 101 for a socket.
        error: The error object it was refused with.
        complete: Whether it ended as the wire says a finished observation does.
    """

    @property
    def status(self) -> int: ...

    @property
    def error(self) -> dict[str, Any] | None: ...

    @property
    def complete(self) -> bool: ...

    @property
    def transport(self) -> asyncio.Transport:
        """What carries it, once it is open."""
        ...

    async def open(self, generation: str, after: str | None, options: Mapping[str, Any]) -> None:
        """Ask to observe; raises `BrokenError`."""
        ...

    def frames(self) -> AsyncIterator[Frame]:
        """What comes, until the connection is over."""
        ...

    async def close(self) -> None:
        """Leave, without a word."""
        ...


class HttpConnection:
    """SSE or NDJSON; see `Connection`."""

    def __init__(
        self,
        address: Address,
        wire: WireName,
        *,
        last_event_id: str | None = None,
        receive_buffer: int | None = None,
    ) -> None:
        self.error: dict[str, Any] | None = None
        self._wire = wire
        self._last_event_id = last_event_id
        self._exchange = HttpExchange(address, receive_buffer=receive_buffer)
        self._parser = SseParser() if wire == "sse" else NdjsonParser()

    @property
    def status(self) -> int:
        return self._exchange.status

    @property
    def complete(self) -> bool:
        return self._exchange.complete

    @property
    def transport(self) -> asyncio.Transport:
        return self._exchange.transport

    async def open(self, generation: str, after: str | None, options: Mapping[str, Any]) -> None:
        asked = dict(options) if after is None else {**options, "after": after}
        headers = {"Accept": _ACCEPT[self._wire]}
        if self._last_event_id is not None:
            headers["Last-Event-ID"] = self._last_event_id
        target = f"/v1/generations/{generation}/events" + (f"?{urlencode(asked)}" if asked else "")
        await self._exchange.ask("GET", target, headers)
        if self.status not in {200, 204}:
            self.error = json.loads(b"".join([chunk async for chunk in self._exchange.body()]))

    async def frames(self) -> AsyncIterator[Frame]:
        if self.error is None:
            async for data in self._exchange.body():
                for frame in self._parser.feed(data):
                    yield frame

    async def close(self) -> None:
        await self._exchange.close()


class SocketConnection:
    """A WebSocket; see `Connection`. It is complete when all that comes has come, since the socket stays open."""

    def __init__(self, address: Address, wire: WireName, *, receive_buffer: int | None = None) -> None:
        self.status = 0
        self.replies: list[dict[str, Any]] = []
        self.error: dict[str, Any] | None = None
        self.complete = False
        self.close_code: int | None = None
        self._address = address
        self._wire = wire
        self._receive_buffer = receive_buffer
        self._read: Callable[[str | bytes], Iterator[Frame]]
        self._read = json_message if wire == "ws-json" else msgpack_message
        self._socket: ClientConnection | None = None
        self._last: Callable[[dict[str, Any]], bool] = lambda _: False

    @property
    def transport(self) -> asyncio.Transport:
        assert self._socket is not None
        return self._socket.transport

    async def connect(self) -> None:
        """Shake hands; raises `BrokenError`."""
        uri = f"ws://{self._address.host}:{self._address.port}/v1/ws"
        subprotocol = Subprotocol(_SUBPROTOCOLS[self._wire])
        try:
            self._socket = await connect(
                uri,
                sock=await dial(self._address, self._receive_buffer),
                subprotocols=[subprotocol],
                compression=None,
                max_size=None,
                proxy=None,
                ping_interval=None,
            )
        except (OSError, EOFError, InvalidHandshake):
            raise BrokenError from None
        assert self._socket.subprotocol == subprotocol
        self.status = 101

    async def send(self, kind: str, ref: str | int, **fields: Any) -> None:
        """Send a command; raises `BrokenError`."""
        assert self._socket is not None
        message = {"type": kind, "ref": ref, **fields}
        try:
            await self._socket.send(json.dumps(message) if self._wire == "ws-json" else msgpack.packb(message))
        except ConnectionClosed as closed:
            raise self._broken(closed) from None

    async def receive(self) -> list[Frame]:
        """The frames of the next message; raises `BrokenError`."""
        assert self._socket is not None
        try:
            return list(self._read(await self._socket.recv()))
        except ConnectionClosed as closed:
            raise self._broken(closed) from None

    async def command(self, kind: str, ref: str | int = "ref", **fields: Any) -> dict[str, Any]:
        """Send a command while nothing is observed; its reply."""
        await self.send(kind, ref, **fields)
        (frame,) = await self.receive()
        while frame.value["type"] == "heartbeat":
            # The socket was quiet for so long before a busy server came to the command.
            (frame,) = await self.receive()
        assert frame.value["ref"] == ref, frame
        return frame.value

    async def open(self, generation: str, after: str | None, options: Mapping[str, Any]) -> None:
        if self._socket is None:
            await self.connect()
        asked = dict(options) if after is None else {**options, "after": after}
        reply = await self.command("observe", generation=generation, **asked)
        if reply["type"] == "error":
            self.error = reply["error"]
            return
        self.complete = reply["state"] == "finished" and reply["cursor"] == after
        self._last = _is_final_view if options.get("view") == "json" else _is_terminal

    async def frames(self) -> AsyncIterator[Frame]:
        while self.error is None and not self.complete:
            try:
                frames = await self.receive()
            except BrokenError:
                return
            for frame in frames:
                if frame.value["type"] in {"ok", "error"}:
                    self.replies.append(frame.value)
                    continue
                self.complete = self._last(frame.value)
                yield frame

    async def close(self) -> None:
        if self._socket is not None:
            self._socket.transport.abort()
            await self._socket.wait_closed()

    def _broken(self, closed: ConnectionClosed) -> BrokenError:
        self.close_code = closed.rcvd.code if closed.rcvd is not None else None
        return BrokenError()


def _is_terminal(value: dict[str, Any]) -> bool:
    return bool(value["type"] == "finished")


def _is_final_view(value: dict[str, Any]) -> bool:
    return bool(value["type"] == "json" and value["final"])


def connection(address: Address, wire: WireName, *, receive_buffer: int | None = None) -> Connection:
    """A connection of that wire, not yet open."""
    if wire in _SUBPROTOCOLS:
        return SocketConnection(address, wire, receive_buffer=receive_buffer)
    return HttpConnection(address, wire, receive_buffer=receive_buffer)


class StalledConnection:
    """A connection whose peer reads nothing, into buffers as small as there are, until `read` is set."""

    def __init__(self, address: Address, wire: WireName) -> None:
        self.read = asyncio.Event()
        self._inner = connection(address, wire, receive_buffer=2048)

    @property
    def status(self) -> int:
        return self._inner.status

    @property
    def error(self) -> dict[str, Any] | None:
        return self._inner.error

    @property
    def complete(self) -> bool:
        return self._inner.complete

    @property
    def transport(self) -> asyncio.Transport:
        return self._inner.transport

    async def open(self, generation: str, after: str | None, options: Mapping[str, Any]) -> None:
        await self._inner.open(generation, after, options)
        self.transport.pause_reading()

    async def frames(self) -> AsyncIterator[Frame]:
        await self.read.wait()
        if not self.transport.is_closing():
            self.transport.resume_reading()
        async for frame in self._inner.frames():
            yield frame

    async def close(self) -> None:
        await self._inner.close()
