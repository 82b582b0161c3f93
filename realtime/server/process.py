"""The process around the app: the listening socket, receive deadlines, and a server of both that drains."""

import asyncio
import socket
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .app import Application
from .draining import DrainingServer
from .settings import Settings
from .socket_protocol import SocketProtocol

# After the drain nothing should be open; what is, is cut.
_GRACEFUL_S = 5
# A body is bounded by the route that reads it; this catches one that no route reads.
_BODY_SLACK_S = 5.0


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
    return DrainingServer(config, application.service, drain_timeout_s=settings.drain_timeout_s)
