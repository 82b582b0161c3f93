"""Opens many connections and keeps them, with nothing to read but heartbeats: what each holds, and what all cost."""

import select
import socket
import time

import msgspec

from benchmarks.accounts import Account, proportional_kib

from .asking import answer
from .sockets import connect, raise_file_limit

_READ_BYTES = 4096
_POLL_S = 0.02
_PATIENCE_S = 60.0
# Asked for at once; a server that is slow to answer is not flooded.
_AT_ONCE = 200
_FEW = 20
# From the last answer to the window: what serving them has left behind is gone.
_WARM_S = 1.0
# engine.io's ping and its answer, as WebSocket frames; whoever does not answer is closed.
_PING, _PONG = b"\x81\x012", b"\x81\x81\x00\x00\x00\x003"


class Job(msgspec.Struct, frozen=True):
    """What to keep open.

    Attributes:
        ready: What a connection's answer holds once it observes.
        command: For WebSockets: the first message, once the handshake was answered.
    """

    port: int
    pid: int
    connections: int
    request: bytes
    ready: bytes
    window_s: float
    command: bytes = b""

    @property
    def longest_s(self) -> float:
        return _PATIENCE_S + _WARM_S + self.window_s + self.connections / 200


class Idle(msgspec.Struct, frozen=True):
    """What was seen.

    Attributes:
        before_kib: Memory of the server's processes, shared pages divided, when it had answered a few.
        after_kib: The same with all connected.
        connect_s: From the first request to the last answer.
        heartbeats: Reads within the window.
        ended: Connections the server closed.
        waited: Share of the window in which the server could have run and another process had its core.
    """

    before_kib: int
    after_kib: int
    connect_s: float
    window_s: float
    cpu_us: float
    waited: float
    heartbeats: int
    ended: int


class _Client:
    """One run of a job."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        # What came on a connection that does not observe yet.
        self._asking: dict[int, bytes] = {}
        self._shaking: set[int] = set()
        self._heartbeats = self._ended = 0

    def run(self) -> Idle:
        raise_file_limit()
        # What is made once, for the first connection, is not a connection's.
        self._open(_FEW)
        self._until(time.monotonic() + _WARM_S / 2)
        before_kib, began = proportional_kib(self._job.pid), time.monotonic()
        self._open(self._job.connections)
        connect_s = time.monotonic() - began
        self._until(time.monotonic() + _WARM_S)
        after_kib = proportional_kib(self._job.pid)
        self._heartbeats = 0
        began, before = time.monotonic(), Account.of(self._job.pid)
        self._until(began + self._job.window_s)
        after, lasted = Account.of(self._job.pid), time.monotonic() - began
        return Idle(
            before_kib=before_kib,
            after_kib=after_kib,
            connect_s=connect_s,
            window_s=lasted,
            cpu_us=(after.cpu_ns - before.cpu_ns) / 1000,
            waited=(after.waited_ns - before.waited_ns) / 1e9 / lasted,
            heartbeats=self._heartbeats,
            ended=self._ended,
        )

    def _open(self, count: int) -> None:
        for _ in range(count):
            self._wait(_AT_ONCE)
            sock = connect(self._job.port, len(self._sockets))
            sock.sendall(self._job.request)
            sock.setblocking(False)
            self._sockets[sock.fileno()] = sock
            self._asking[sock.fileno()] = b""
            if self._job.command:
                self._shaking.add(sock.fileno())
            self._epoll.register(sock, select.EPOLLIN)
        self._wait(0)

    def _wait(self, most: int) -> None:
        """Until so few are still asking."""
        give_up = time.monotonic() + _PATIENCE_S
        while len(self._asking) > most:
            if time.monotonic() > give_up:
                raise RuntimeError(f"{len(self._asking)} are not answered; one has {self._asking.popitem()}")
            self._look(_POLL_S)

    def _until(self, end: float) -> None:
        while (left := end - time.monotonic()) > 0:
            self._look(left)

    def _look(self, patience_s: float) -> None:
        for fd, _ in self._epoll.poll(patience_s, 1024):
            try:
                data = self._sockets[fd].recv(_READ_BYTES)
            except ConnectionError:
                data = b""
            if not data:
                said = self._asking.pop(fd, None)
                if said is not None:
                    raise RuntimeError(f"an observer was refused: {said[:300]!r}")
                self._epoll.unregister(fd)
                self._sockets[fd].close()
                self._ended += 1
            elif fd in self._asking:
                self._answered(fd, data)
            else:
                self._heartbeats += 1
                if data.endswith(_PING):
                    self._sockets[fd].sendall(_PONG)
                elif data[0] == 0x89:  # A WebSocket's own ping.
                    self._sockets[fd].sendall(b"\x8a%c%b%b" % (0x80 | len(data) - 2, bytes(4), data[2:]))

    def _answered(self, fd: int, data: bytes) -> None:
        said = self._asking[fd] = self._asking[fd] + data
        if fd in self._shaking:
            if b"\r\n\r\n" in said:
                self._shaking.discard(fd)
                self._sockets[fd].sendall(self._job.command)
        elif self._job.ready in said:
            del self._asking[fd]


if __name__ == "__main__":
    answer(Job, lambda job: _Client(job).run())
