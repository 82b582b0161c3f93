"""Whom `idle` keeps connections to: each is started, and gives the job of its client."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import msgspec

from .clients import idle
from .environments import NCHAN, need_nginx, python_of
from .generations import start
from .processes import Server
from .requests import UPGRADE, http_request, text_frame

# Nobody publishes before so many have come.
_NEVER = ("1000000000", "1", "1")


def _job(
    server: Server, count: int, window_s: float, path: str, ready: bytes, headers: Mapping[str, str] | None = None
) -> idle.Job:
    return idle.Job(
        port=server.port,
        pid=server.pid,
        connections=count,
        request=http_request("GET", path, server.port, headers=headers),
        ready=ready,
        window_s=window_s,
    )


@contextmanager
def bare(count: int, window_s: float) -> Iterator[idle.Job]:
    """A loop that keeps its transports, and sends no heartbeat."""
    with Server("benchmarks.servers.bare", "{port}", *_NEVER) as server:
        yield _job(server, count, window_s, "/", b"\r\n\r\n")


@contextmanager
def ours(count: int, window_s: float, wire: str = "sse") -> Iterator[idle.Job]:
    """Our server; on `sse` or `ndjson`."""
    with _our_server(count) as server:
        path = f"/v1/generations/{start(server.port)}/events?wire={wire}"
        yield _job(server, count, window_s, path, b'"started"')


def ours_ndjson(count: int, window_s: float) -> AbstractContextManager[idle.Job]:
    """The same on `ndjson`."""
    return ours(count, window_s, "ndjson")


@contextmanager
def ours_socket(count: int, window_s: float) -> Iterator[idle.Job]:
    """The same on one WebSocket each."""
    with _our_server(count) as server:
        command = text_frame(msgspec.json.encode({"type": "observe", "generation": start(server.port)}))
        job = _job(server, count, window_s, "/v1/ws", b'"started"', UPGRADE)
        yield msgspec.structs.replace(job, command=command)


def _our_server(count: int) -> Server:
    # Some of those who were there to warm up may not have been missed yet.
    return Server("benchmarks.servers.ours", "{port}", *_NEVER, env={"REALTIME_MAX_STREAMS": str(2 * count)})


@contextmanager
def tutorial(count: int, window_s: float) -> Iterator[idle.Job]:
    """A queue each."""
    with Server("benchmarks.servers.tutorial", "fanout", "{port}", *_NEVER) as server:
        yield _job(server, count, window_s, "/events", b"\r\n\r\n")


@contextmanager
def socketio(count: int, window_s: float) -> Iterator[idle.Job]:
    """python-socketio, on WebSockets."""
    python = python_of("socketio")
    with Server("benchmarks.servers.socket_io", "{port}", *_NEVER, python=python) as server:
        # Its answer to the first message; before it comes the handshake of engine.io.
        job = _job(server, count, window_s, "/socket.io/?EIO=4&transport=websocket", b"40{", UPGRADE)
        yield msgspec.structs.replace(job, command=text_frame(b"40"))


@contextmanager
def nchan(count: int, window_s: float) -> Iterator[idle.Job]:
    """Nchan, as SSE."""
    need_nginx(NCHAN)
    with Server("benchmarks.servers.nchan", "{port}", str(2 * count)) as server:
        yield _job(server, count, window_s, "/observe/00000", b"\r\n\r\n")


@contextmanager
def nchan_socket(count: int, window_s: float) -> Iterator[idle.Job]:
    """Nchan, on WebSockets."""
    need_nginx(NCHAN)
    with Server("benchmarks.servers.nchan", "{port}", str(2 * count)) as server:
        # Nothing is said after the handshake, and nothing need be.
        yield _job(server, count, window_s, "/observe/00000", b"\r\n\r\n", UPGRADE)
