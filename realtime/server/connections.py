"""What uvicorn is told of connections: deadlines for what it receives, bounds on frames, and a short way out."""

import asyncio
import logging
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from .short_way import HttpShortWay, WithShortWay
from .socket_protocol import SocketProtocol

# After the drain nothing should be open; what is, is cut.
_GRACEFUL_S = 5
# A body is bounded by the route that reads it; this catches one that no route reads.
_BODY_SLACK_S = 5.0

# What a peer that does not read holds here beside one slice and the kernel's buffer; asyncio's default is 64 KiB.
_WRITE_BUFFER_BYTES = 16 * 1024

_logger = logging.getLogger("uvicorn.error.http")
# A body is left incomplete on purpose, for a text that failed and for a peer that does not read; that has its own line.
_logger.addFilter(lambda record: record.msg != "ASGI callable returned without completing response.")


class DeadlineProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with deadlines for what it receives; uvicorn has none (its issue 157).

    A peer that sends half a request, or half a handshake, holds a socket for nothing. The timer covers the head of each
    request, then its body; the time between requests is uvicorn's keep-alive.
    """

    # With three more, uvicorn's attributes would be too many for a dict that shares its keys: 1.2 KiB a connection.
    __slots__ = ("_answering", "_deadline", "_short_way")

    header_deadline_s = 10.0
    body_deadline_s = 30.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _logger

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._deadline: asyncio.TimerHandle | None = None
        self._short_way: HttpShortWay | None = None
        self._answering: RequestResponseCycle | None = None
        streaming = cast("asyncio.Transport", transport)
        streaming.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
        super().connection_made(streaming)
        self._arm(self.header_deadline_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)
        if self._short_way is not None:
            self._short_way.lose()
            self._short_way = None
        # uvicorn tells the newest request, which may be one that waits for its turn.
        if self._answering is not None:
            self._answering.disconnected = True
            self._answering.message_event.set()
            self._answering = None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # Any byte ends uvicorn's keep-alive, even a line end between two requests, which begins none.
        cycle: Any = self.cycle  # None before the first request, whatever its type says.
        idle = cycle is not None and cycle.response_complete and self._deadline is None
        if idle and self.transport.get_protocol() is self and not self.transport.is_closing():
            self._arm(self.header_deadline_s)

    def on_message_begin(self) -> None:
        self._arm(self.header_deadline_s)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        running = self._answering
        if running is not None and running.chunked_encoding and not running.response_complete:
            # It would have its turn when the stream is over; until then nobody would read on, and hear the peer leave.
            self.transport.abort()
            return
        self._arm(self.body_deadline_s + _BODY_SLACK_S)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._disarm()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        self._disarm()
        cycle: Any = self.cycle
        if cycle is not None and not cycle.response_complete:
            # Behind a response that is still being written: two protocols would write to one socket, and neither would
            # hear of both ends.
            self.transport.abort()
            return
        super().handle_websocket_upgrade()
        # The two keep each other, and uvicorn parts them only where a connection is lost.
        self.parser = cast("Any", None)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering, self._short_way = cycle, HttpShortWay(cycle)
        super()._start_asgi_task(cycle, WithShortWay(app, self._short_way))  # type: ignore[arg-type]  # an app like any

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def configure(
    app: Any,
    *,
    header_deadline_s: float = 10.0,
    body_deadline_s: float = 30.0,
    frame_bytes: int = 2**16,
    **options: Any,
) -> uvicorn.Config:
    """A uvicorn configuration for an app that serves generations; `options` are uvicorn's own, as `host` and `port`."""
    deadlines = {"header_deadline_s": header_deadline_s, "body_deadline_s": body_deadline_s}
    protocol = type("ConfiguredProtocol", (DeadlineProtocol,), deadlines)
    ours: dict[str, Any] = {
        "http": protocol,
        "ws": SocketProtocol,
        "ws_max_size": frame_bytes,
        # Tokens are small and every message would cost a deflate; and 64 KiB of window a socket.
        "ws_per_message_deflate": False,
        "access_log": False,
        "server_header": False,
        "timeout_graceful_shutdown": _GRACEFUL_S,
        "lifespan": "on",
    }
    return uvicorn.Config(app, **{**ours, **options})
