"""The listening socket that a server's settings ask for."""

import socket

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
