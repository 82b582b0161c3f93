"""Past ASGI, straight to the socket: what our protocols offer to whoever streams. See `transports.sink.ShortWay`."""

import asyncio
from collections.abc import Awaitable, Callable

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from realtime.frames import Envelope
from transports.asgi import Receive, Scope, Send
from transports.sink import SHORT_WAY

from .first_write import FirstWrite
from .guard import App


def http_chunk(data: bytes) -> bytes:
    """A chunk of a chunked body; nothing for nothing, because a chunk of no bytes ends the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def _message(head: int) -> Envelope:
    """A WebSocket message in one unmasked frame (RFC 6455, 5.2); nothing for nothing."""

    def message(data: bytes) -> bytes:
        size = len(data)
        if not size:
            return b""
        if size < 126:
            return b"%c%c%b" % (head, size, data)
        if size < 2**16:
            return b"%c\x7e%c%c%b" % (head, size >> 8, size & 0xFF, data)
        return b"%c\x7f%b%b" % (head, size.to_bytes(8, "big"), data)

    return message


text_message = _message(0x81)
binary_message = _message(0x82)


class CarryingOn:
    """The half of a short way that is the same for both protocols: what goes on once the application has returned."""

    gone: Callable[[], None] | None = None
    lost = False
    _rest: Callable[[], Awaitable[None]] | None = None
    _ended: Callable[[], None] | None = None

    def carry_on(self, rest: Callable[[], Awaitable[None]], ended: Callable[[], None]) -> None:
        """See `ShortWay`."""
        self._rest, self._ended = rest, ended

    @property
    def carries_on(self) -> bool:
        """Whether anything was left to be done."""
        return self._rest is not None

    async def run_rest(self) -> None:
        """Do what was left to be done."""
        rest, self._rest = self._rest, None
        if rest is not None:
            await rest()

    def end(self) -> None:
        """Nothing goes on any more."""
        ended, self._ended, self._rest, self.gone = self._ended, None, None, None
        if ended is not None:
            ended()

    def lose(self) -> None:
        """The peer has gone."""
        self.lost = True
        if self.gone is not None:
            self.gone()


class HttpShortWay(CarryingOn):
    """The short way of one response."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        # Its own, because every write looks at it, and a default of the class is looked for in four places first.
        self.lost = False
        self._cycle = cycle
        self._flow = cycle.flow
        self._first_write = FirstWrite(cycle)
        # The one behind it, once it has stepped aside; None before, and when nothing may be written any more.
        self._transport: asyncio.Transport | None = None
        self.send: Send = cycle.send  # type: ignore[assignment]  # uvicorn's types are narrower than ASGI's
        self.receive: Receive = cycle.receive  # type: ignore[assignment]

    def carry_on(self, rest: Callable[[], Awaitable[None]], ended: Callable[[], None]) -> None:
        """See `ShortWay`."""
        super().carry_on(rest, ended)
        # uvicorn stops reading behind a long body and a pipelined request, and would not hear the peer leave.
        self._cycle.flow.resume_reading()

    def envelope(self, *, text: bool) -> Envelope | None:  # noqa: ARG002 - bytes are bytes
        """See `ShortWay`."""
        return http_chunk if self._cycle.chunked_encoding else None

    def put(self, data: bytes) -> bool:
        """See `ShortWay`."""
        # Of the many objects of a connection it touches as few as it can: where there are hundreds of streams, each is
        # a miss of the processor's cache.
        transport = self._transport or self._open_transport()
        if transport is None or self.lost or self._flow.write_paused:
            return False
        transport.write(data)
        return True

    def _open_transport(self) -> asyncio.Transport | None:
        cycle = self._cycle
        if cycle.response_complete:
            return None
        if cycle.transport is not self._first_write:
            self._transport = cycle.transport
        return cycle.transport

    def end(self) -> None:
        """See `CarryingOn`."""
        super().end()
        self._transport = None
        self._first_write.flush()

    async def drain(self) -> None:
        """See `ShortWay`."""
        while self._flow.write_paused and not self.lost:
            await self._flow.drain()
        if self.lost or self._cycle.response_complete:
            raise ConnectionResetError


class WithShortWay:
    """An application that is offered the short way, and what it leaves to be done once it has returned.

    The offer is in the scope for that call only, so that the two do not refer to each other for ever.
    """

    __slots__ = ("_app", "_offered")

    def __init__(self, app: App, offered: CarryingOn) -> None:
        self._app = app
        self._offered = offered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        offered = self._offered
        extensions = scope.setdefault("extensions", {})
        extensions[SHORT_WAY] = offered
        try:
            await self._app(scope, receive, send)
            extensions.clear()
            if offered.carries_on:
                _forget(scope)
                await offered.run_rest()
        finally:
            extensions.clear()
            offered.end()


def _forget(scope: Scope) -> None:
    """Let go of the request, which is a quarter of an idle observer; uvicorn looks at nothing but its method again."""
    method = scope.get("method")
    scope.clear()
    scope["method"] = method
