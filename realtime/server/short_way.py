"""Past ASGI, straight to the socket: what our protocols offer to whoever streams. See `transports.sink.ShortWay`."""

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


def text_message(data: bytes) -> bytes:
    """A WebSocket text message in one unmasked frame (RFC 6455, 5.2)."""
    return _message(0x81, data)


def binary_message(data: bytes) -> bytes:
    """A WebSocket binary message in one unmasked frame."""
    return _message(0x82, data)


def _message(head: int, data: bytes) -> bytes:
    size = len(data)
    if not size:
        return b""
    if size < 126:
        return b"%c%c%b" % (head, size, data)
    if size < 2**16:
        return b"%c\x7e%b%b" % (head, size.to_bytes(2, "big"), data)
    return b"%c\x7f%b%b" % (head, size.to_bytes(8, "big"), data)


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
        self._first_write = FirstWrite(cycle)
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
        cycle = self._cycle
        if cycle.flow.write_paused or self.lost or cycle.response_complete:
            return False
        cycle.transport.write(data)
        return True

    def end(self) -> None:
        """See `CarryingOn`."""
        super().end()
        self._first_write.flush()

    async def drain(self) -> None:
        """See `ShortWay`."""
        cycle = self._cycle
        while cycle.flow.write_paused and not self.lost:
            await cycle.flow.drain()
        if self.lost or cycle.response_complete:
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
