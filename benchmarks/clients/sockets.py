"""Raw sockets to a server on this machine, and two ways to be gone."""

import resource
import socket
import struct

HANDSHAKE_S = 10.0
# A port serves one connection from an address; more addresses are more ports.
_SOURCES = 8
_NO_LINGER = struct.pack("ii", 1, 0)


def connect(port: int, n: int = 0) -> socket.socket:
    """The n-th connection, blocking, from one of several addresses of this machine."""
    sock = socket.socket()
    sock.settimeout(HANDSHAKE_S)
    sock.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
    sock.bind((f"127.0.0.{1 + n % _SOURCES}", 0))
    sock.connect(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def kill(sock: socket.socket) -> None:
    """End TCP with a reset: what has not been sent, or read, is lost, and nobody says goodbye."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    sock.close()


def upgrade(sock: socket.socket, request: bytes, command: bytes) -> bytes:
    """A WebSocket's handshake, then its first message; what came behind the answer's head.

    Raises:
        RuntimeError: There was no answer, or another one than an upgrade.
    """
    sock.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        data = sock.recv(4096)
        if not data:
            break
        answer += data
    if not answer.startswith(b"HTTP/1.1 101"):
        raise RuntimeError(f"no upgrade: {answer[:200]!r}")
    sock.sendall(command)
    return answer.partition(b"\r\n\r\n")[2]


def raise_file_limit() -> None:
    """As many files as this process and its children may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
