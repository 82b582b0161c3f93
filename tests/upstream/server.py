"""An HTTP/1.1 server whose every answer is a script: bytes, pauses, stalls and broken connections, step by step.

It knows nothing of model APIs; `chat` and `messages` make the bytes. It is a protocol on the event loop and no
framework, so a script decides what goes into which TCP segment, and a client that goes away is noticed at once.
"""

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self, cast


@dataclass(frozen=True)
class Pause:
    """Wait before the next step."""

    seconds: float


@dataclass(frozen=True)
class Wait:
    """Wait until the test sets `event`."""

    event: asyncio.Event


# Say nothing more until the client goes; break the connection with a RST; close it in the middle of the body.
Break = Literal["stall", "reset", "fin"]
STALL: Break = "stall"
RESET: Break = "reset"
FIN: Break = "fin"

Step = bytes | Pause | Wait | Break


@dataclass(frozen=True)
class Reply:
    """What one request is answered with.

    Attributes:
        before: Steps before the status line, for slow or missing headers; their bytes are sent as they are.
        framing: `chunked`; `close` for a body that the end of the connection ends; `none` for no head at all, so
            that the steps are the whole answer.
    """

    steps: Sequence[Step] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "text/event-stream"})
    before: Sequence[Step] = ()
    framing: Literal["chunked", "close", "none"] = "chunked"

    @classmethod
    def json(cls, value: Any, status: int = 200, **headers: str) -> "Reply":
        """A plain JSON answer; an underscore in a header's name is sent as a hyphen."""
        plain = {name.replace("_", "-"): text for name, text in headers.items()}
        return cls([json.dumps(value).encode()], status, {"content-type": "application/json", **plain})


@dataclass(eq=False)
class Exchange:
    """One request, and what became of its answer.

    Attributes:
        body: What `raw` is, as JSON; None for a form, and for nothing.
        stalled: Set when the script has reached a `STALL`.
        answered: Set when the whole answer was written.
        closed: Set when the connection is gone, whoever ended it; `closed_at` is the loop's time of it.
    """

    method: str
    path: str
    headers: dict[str, str]
    raw: bytes
    body: Any
    stalled: asyncio.Event = field(default_factory=asyncio.Event)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    closed_at: float | None = None


Script = Callable[[Exchange], Reply]


class Upstream:
    """The server, as an async context manager.

    Attributes:
        reply: The answer to every request, or a function that chooses one.
        exchanges: Every request so far.
        connections: Connections accepted so far.
    """

    def __init__(self, reply: Reply | Script | None = None, *, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.reply: Reply | Script = reply or Reply()
        self.exchanges: list[Exchange] = []
        self.connections = 0
        self.url = ""
        self._arrived: asyncio.Queue[Exchange] = asyncio.Queue()
        self._open: set[_Connection] = set()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, ssl=self._tls, backlog=4096)
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        await self.drop()

    async def drop(self) -> None:
        """Close every connection at once, and wait until they are."""
        for connection in tuple(self._open):
            await connection.abort()

    async def next_exchange(self) -> Exchange:
        """The next request that was not asked for yet, when it has arrived."""
        return await self._arrived.get()

    def answer(self, exchange: Exchange) -> Reply:
        """Record a request and choose its answer; called by the connection."""
        self.exchanges.append(exchange)
        self._arrived.put_nowait(exchange)
        return self.reply(exchange) if callable(self.reply) else self.reply

    def opened(self, connection: "_Connection") -> None:
        self.connections += 1
        self._open.add(connection)

    def lost(self, connection: "_Connection") -> None:
        self._open.discard(connection)


class _Connection(asyncio.Protocol):
    """One client: requests in, one at a time, each played by a task of its own."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._received = bytearray()
        self._exchanges: list[Exchange] = []
        self._player: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._writable.set()
        self._upstream.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._upstream.lost(self)
        now = asyncio.get_running_loop().time()
        self._gone.set()
        self._writable.set()
        for exchange in self._exchanges:
            exchange.closed_at = now
            exchange.closed.set()
        if self._player is not None:
            self._player.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._received += data
        exchange = self._take_request()
        if exchange is not None:
            self._exchanges.append(exchange)
            self._player = asyncio.get_running_loop().create_task(self._play(exchange))

    async def abort(self) -> None:
        """Close at once and wait until it is."""
        self._transport.abort()
        await self._gone.wait()

    def _take_request(self) -> Exchange | None:
        head, separator, rest = bytes(self._received).partition(b"\r\n\r\n")
        if not separator:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return None
        self._received = bytearray(rest[length:])
        method, path, _ = first.split(" ")
        raw = bytes(rest[:length])
        form = "form" in headers.get("content-type", "")
        return Exchange(method, path, headers, raw, json.loads(raw) if raw and not form else None)

    async def _play(self, exchange: Exchange) -> None:
        reply = self._upstream.answer(exchange)
        if not await self._play_steps(exchange, reply.before, chunked=False):
            return
        if reply.framing != "none":
            self._transport.write(_head(reply))
        if not await self._play_steps(exchange, reply.steps, chunked=reply.framing == "chunked"):
            return
        if reply.framing == "chunked":
            self._transport.write(b"0\r\n\r\n")
        exchange.answered.set()
        if reply.framing != "chunked":
            self._transport.close()

    async def _play_steps(self, exchange: Exchange, steps: Iterable[Step], *, chunked: bool) -> bool:
        """Play them; False when the connection is over."""
        for step in steps:
            if isinstance(step, bytes):
                self._transport.write(b"%x\r\n%b\r\n" % (len(step), step) if chunked else step)
                # The loop runs in between, so the next write is a segment of its own.
                await asyncio.sleep(0)
                await self._writable.wait()
            elif isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
            elif isinstance(step, Wait):
                await step.event.wait()
            else:
                await self._break(exchange, step)
                return False
        return not self._gone.is_set()

    async def _break(self, exchange: Exchange, how: Break) -> None:
        if how == "stall":
            exchange.stalled.set()
            await self._gone.wait()
        elif how == "fin":
            self._transport.close()
        else:
            # Without lingering, the close of a socket is a RST.
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()


def _head(reply: Reply) -> bytes:
    lines = [f"HTTP/1.1 {reply.status} Scripted", *(f"{name}: {value}" for name, value in reply.headers.items())]
    lines.append("transfer-encoding: chunked" if reply.framing == "chunked" else "connection: close")
    return "\r\n".join([*lines, "", ""]).encode()


def cut(data: bytes, *places: int) -> list[bytes]:
    """`data` in pieces that end at `places`."""
    ends = [*sorted(places), len(data)]
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False) if end > start]
