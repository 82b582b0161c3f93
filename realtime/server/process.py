"""The process around the app: the listening socket, receive deadlines, and a shutdown that loses nothing.

uvicorn ends a busy server in one of two ways, waiting for ever or cutting streams off, and runs the lifespan's end only
after either. So the drain is here, before uvicorn's own shutdown: starts are refused, what runs goes on with its
observers attached, and only when the last generation has ended are connections told goodbye.
"""

import asyncio
import gc
import logging
import signal
import socket
from types import FrameType
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .app import Application
from .settings import Settings
from .socket_protocol import SocketProtocol

_logger = logging.getLogger("realtime")

# A second signal means it.
_HURRY_S = 5.0
# After the drain nothing should be open; what is, is cut.
_GRACEFUL_S = 5
# A body is bounded by the route that reads it; this catches one that no route reads.
_BODY_SLACK_S = 5.0


class DrainingServer(uvicorn.Server):
    """A uvicorn server that drains before it shuts down."""

    def __init__(self, config: uvicorn.Config, application: Application) -> None:
        super().__init__(config)
        self._application = application
        self._hurry = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # Imports made some 300,000 objects that will never be garbage; a full collection over them stops every
        # stream for 150 ms.
        gc.collect()
        gc.freeze()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a signal handler's form
        if self.should_exit:
            self._hurry.set()
        self.should_exit = True
        self._captured_signals.append(sig)
        _logger.info("%s: draining", signal.Signals(sig).name)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, say goodbye, then let uvicorn close what is left. The listener stays open until then: the logs are
        in this process, and an observer that reconnects must find them."""
        sessions = self._application.sessions
        timeout_s = self._application.settings.drain_timeout_s
        drain = asyncio.create_task(sessions.drain(timeout_s))
        hurry = asyncio.create_task(self._hurry.wait())
        await asyncio.wait({drain, hurry}, return_when=asyncio.FIRST_COMPLETED)
        if not drain.done():
            drain.cancel()
            await asyncio.wait({drain})
            await sessions.drain(min(_HURRY_S, timeout_s))
        hurry.cancel()
        await self._application.service.farewell()
        await super().shutdown(sockets)


class DeadlineProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with deadlines for what it receives; uvicorn has none (its issue 157).

    A peer that sends half a request, or half a handshake, holds a socket for nothing. The timer covers the head of each
    request, then its body; the time between requests is uvicorn's keep-alive.
    """

    header_deadline_s = 10.0
    body_deadline_s = 30.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._deadline: asyncio.TimerHandle | None = None
        super().connection_made(cast("asyncio.Transport", transport))
        self._arm(self.header_deadline_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # Any byte ends uvicorn's keep-alive, even a line end between two requests, which begins none.
        cycle = self.cycle
        idle = cycle is not None and cycle.response_complete and self._deadline is None
        if idle and self.transport.get_protocol() is self and not self.transport.is_closing():
            self._arm(self.header_deadline_s)

    def on_message_begin(self) -> None:
        self._arm(self.header_deadline_s)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._arm(self.body_deadline_s + _BODY_SLACK_S)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._disarm()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        self._disarm()
        super().handle_websocket_upgrade()

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def listen(settings: Settings) -> socket.socket:
    """The listening socket, with the options that every accepted one inherits.

    `SO_SNDBUF` bounds what the kernel holds for a peer that does not read (2.8 MB by default), and `TCP_USER_TIMEOUT`
    closes the socket of one that acknowledges nothing: no write deadline in this process can.

    Raises:
        OSError: The address cannot be had.
    """
    family, kind, proto, _, address = socket.getaddrinfo(
        settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, settings.send_buffer_bytes)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            user_timeout_ms = int(settings.user_timeout_s * 1000)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, user_timeout_ms)
        sock.bind(address)
        sock.set_inheritable(True)
    except OSError:
        sock.close()
        raise
    return sock


def create_server(application: Application) -> DrainingServer:
    """A server for the application, with the limits its settings name."""
    settings = application.settings
    deadlines: dict[str, Any] = {
        "header_deadline_s": settings.header_deadline_s,
        "body_deadline_s": settings.body_deadline_s,
    }
    protocol = type("ConfiguredProtocol", (DeadlineProtocol,), deadlines)
    config = uvicorn.Config(
        application.app,
        http=protocol,
        ws=SocketProtocol,
        ws_max_size=settings.frame_bytes,
        # Tokens are small and every message would cost a deflate; and 64 KiB of window a socket.
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACEFUL_S,
        lifespan="on",
    )
    return DrainingServer(config, application)
