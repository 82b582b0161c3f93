"""The process around the app: the listening socket, and the server that its settings ask for."""

import socket

from .app import Application
from .connections import configure
from .draining import DrainingServer
from .settings import Settings


def listen(settings: Settings) -> socket.socket:
    """The listening socket, with the options that every accepted one inherits.

    `SO_SNDBUF` bounds what the kernel holds for a peer that does not read: 2.8 MB by default, twice what is asked for.
    `TCP_USER_TIMEOUT` closes the socket of one that acknowledges nothing: no write deadline in this process can.

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
    config = configure(
        application.app,
        header_deadline_s=settings.header_deadline_s,
        body_deadline_s=settings.body_deadline_s,
        frame_bytes=settings.frame_bytes,
        log_config=None,
    )
    reload = application.reload if settings.providers_file is not None else None
    return DrainingServer(config, application.service, drain_timeout_s=settings.drain_timeout_s, reload=reload)
