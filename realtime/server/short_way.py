"""Past ASGI, straight to the socket: what our protocols offer to whoever streams. See `transports.sink.ShortWay`."""

from collections.abc import Awaitable, Callable

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from realtime.frames import Envelope
from transports.asgi import Receive, Scope, Send
from transports.sink import SHORT_WAY, ShortWay

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


class HttpShortWay:
    """The short way of one response."""

    __slots__ = ("_cycle", "gone", "receive", "rest", "send")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self.send: Send = cycle.send  # type: ignore[assignment]  # uvicorn's types are narrower than ASGI's
        self.receive: Receive = cycle.receive  # type: ignore[assignment]
        self.rest: Callable[[], Awaitable[None]] | None = None
        self.gone: Callable[[], None] | None = None

    def envelope(self, *, text: bool) -> Envelope | None:  # noqa: ARG002 - bytes are bytes
        """See `ShortWay`."""
        return http_chunk if self._cycle.chunked_encoding else None

    def put(self, data: bytes) -> bool:
        """See `ShortWay`."""
        cycle = self._cycle
        if cycle.flow.write_paused or cycle.disconnected:
            return False
        cycle.transport.write(data)
        return True

    async def drain(self) -> None:
        """See `ShortWay`."""
        if self._cycle.flow.write_paused and not self._cycle.disconnected:
            await self._cycle.flow.drain()


class WithShortWay:
    """An application that is offered the short way, and what it leaves to be done once it has returned.

    The offer is in the scope for that call only, so that the two do not refer to each other for ever.
    """

    __slots__ = ("_app", "_offered")

    def __init__(self, app: App, offered: ShortWay) -> None:
        self._app = app
        self._offered = offered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        offered = self._offered
        extensions = scope.setdefault("extensions", {})
        extensions[SHORT_WAY] = offered
        try:
            await self._app(scope, receive, send)
        finally:
            del extensions[SHORT_WAY]
        rest, offered.rest = offered.rest, None
        if rest is not None:
            _forget(scope)
            await rest()


def _forget(scope: Scope) -> None:
    """Let go of the request, which is a quarter of an idle observer; uvicorn looks at nothing but its method again."""
    method = scope.get("method")
    scope.clear()
    scope["method"] = method
