"""The load client: many raw sockets on one epoll, counting tokens and noting the age of each.

It knows no wire and makes no object per token, so that the server is what is measured. How busy it was itself is part
of its report: near 1 the latencies are its own. `load.c` does the same several times faster and is what runs where
there is a compiler; this one runs where there is none, as `python -m benchmarks.load` with the same arguments.
"""

import gc
import select
import socket
import sys
import time
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from .report import BUCKET_US
from .stamps import DIGITS, MARK, now_us

# More is read on the next turn; a larger buffer would be a system call for every allocation.
_READ_BYTES = 32 * 1024
_POLL_S = 0.02
# For the first token of all to come; servers that are overloaded from the start take their time.
_FIRST_S = 20.0
_HANDSHAKE_S = 5.0
# A stamp and half a mark may come in one read, and the rest in the next.
_CARRIED = DIGITS + len(MARK) - 1
# Stands for the connection's number, in as many digits, where every connection asks for something of its own.
NUMBER = "#####"


class Job(msgspec.Struct, frozen=True):
    """What to observe.

    Attributes:
        pid: Of the server, whose accounts are read at both ends of the window.
        request: Sent on every connection; `NUMBER` in it is the connection's.
        command: For WebSockets: the frame to send when the handshake was answered; the same.
        spread_s: Time over which the connections are opened.
        warm_s: From all being asked for and the first token to the window.
        window_s: In which is measured.
    """

    port: int
    pid: int
    connections: int
    request: bytes
    window_s: float
    command: bytes = b""
    spread_s: float = 0.0
    warm_s: float = 1.0

    @property
    def longest_s(self) -> float:
        return self.spread_s + self.warm_s + self.window_s + _FIRST_S

    @property
    def arguments(self) -> list[str]:
        """For either client; `request` and `command` go to its stdin."""
        times = (int(1_000_000 * seconds) for seconds in (self.spread_s, self.warm_s, self.window_s, _FIRST_S))
        return [str(number) for number in (self.port, self.connections, *times, len(self.request))]


class Seen(msgspec.Struct, frozen=True):
    """What the client saw in the window.

    Attributes:
        reads: Reads of this client that brought a token; several tokens a read are writes that were joined, be it by
            the server, by the kernel, or because someone was late.
        ages: How many tokens were how old when they came, by bucket of `BUCKET_US`.
        firsts: The same for the time from a connection's request to its first token; whenever it was.
        silent: Connections that never saw a token.
        client_busy: Share of the window this client was on its core.
    """

    tokens: int
    reads: int
    window_s: float
    ages: dict[int, int]
    firsts: dict[int, int]
    silent: int
    ended: int
    client_busy: float

    @property
    def rate(self) -> float:
        return self.tokens / self.window_s


class Observed(Seen, frozen=True, kw_only=True):
    """And what the server cost meanwhile.

    Attributes:
        waited: Share of the window in which the server could have run and another process had its core.
        client_waited: The same of the client.
    """

    cpu_us: float
    waited: float
    client_waited: float
    resident_mb: float

    @property
    def busy(self) -> float:
        """Share of the window the server was on its core."""
        return self.cpu_us / 1_000_000 / self.window_s

    @property
    def cpu_per_token_us(self) -> float:
        return self.cpu_us / max(self.tokens, 1)


class _Client:
    """One run."""

    def __init__(self, arguments: Sequence[str], asked: bytes) -> None:
        self._port, self._connections, *times, request_bytes = map(int, arguments)
        self._spread_s, self._warm_s, self._window_s, self._first_s = (one / 1_000_000 for one in times)
        self._request, self._command = asked[:request_bytes], asked[request_bytes:]
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        # What came after the last mark of a connection: the next stamp may be in it, whole or in part.
        self._carried: dict[int, bytes] = {}
        self._asked_us: dict[int, int] = {}
        self._ages: dict[int, int] = defaultdict(int)
        self._firsts: dict[int, int] = defaultdict(int)
        self._tokens = self._reads = 0
        self._ended = 0

    def run(self) -> Seen:
        self._open_all()
        self._until(time.monotonic() + self._warm_s)
        self._ages.clear()
        self._tokens = self._reads = 0
        print("begin", flush=True)
        began, busy = time.monotonic(), time.process_time()
        self._until(began + self._window_s)
        lasted, busy = time.monotonic() - began, time.process_time() - busy
        print("end", flush=True)
        return Seen(
            tokens=self._tokens,
            reads=self._reads,
            window_s=lasted,
            ages=self._ages,
            firsts=self._firsts,
            silent=len(self._asked_us),
            ended=self._ended,
            client_busy=busy / lasted,
        )

    def _open_all(self) -> None:
        """Open the connections at their times, and read what comes meanwhile; then wait for the first token."""
        began = time.monotonic()
        for n in range(self._connections):
            self._until(began + self._spread_s * n / self._connections)
            self._open(b"%05d" % n)
        give_up = time.monotonic() + self._first_s
        while not self._tokens:
            if time.monotonic() > give_up or not self._sockets:
                raise RuntimeError(f"no token came; {self._ended} connections ended, {self._carried}")
            self._until(time.monotonic() + _POLL_S)

    def _open(self, number: bytes) -> None:
        sock = socket.create_connection(("127.0.0.1", self._port), timeout=_HANDSHAKE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(self._request.replace(NUMBER.encode(), number))
        rest = b""
        if self._command:
            while b"\r\n\r\n" not in rest:
                rest += sock.recv(4096)
            sock.sendall(self._command.replace(NUMBER.encode(), number))
        sock.setblocking(False)
        fd = sock.fileno()
        self._sockets[fd], self._carried[fd], self._asked_us[fd] = sock, rest[-_CARRIED:], now_us()
        self._epoll.register(fd, select.EPOLLIN)

    def _until(self, end: float) -> None:
        """Read until then. Everything is in one function and local, because it runs 200,000 times a second."""
        poll, sockets, carried, asked, ages = self._epoll.poll, self._sockets, self._carried, self._asked_us, self._ages
        tokens = reads = 0
        while (left := end - time.monotonic()) > 0:
            for fd, _ in poll(min(left, _POLL_S), 256):
                try:
                    data = sockets[fd].recv(_READ_BYTES)
                except ConnectionError:
                    data = b""
                if not data:
                    self._close(fd)
                    continue
                pieces = (carried[fd] + data).split(MARK)
                carried[fd] = pieces.pop()[-_CARRIED:]
                if not pieces:
                    continue
                now = now_us()
                for piece in pieces:
                    # A proxy that cuts its chunks anywhere may cut a stamp; such a token counts, and has no age.
                    if (stamp := piece[-DIGITS:]).isdigit():
                        ages[(now - int(stamp)) // BUCKET_US] += 1
                tokens += len(pieces)
                reads += 1
                if fd in asked:
                    self._firsts[(now - asked.pop(fd)) // BUCKET_US] += 1
        self._tokens += tokens
        self._reads += reads

    def _close(self, fd: int) -> None:
        self._epoll.unregister(fd)
        self._sockets.pop(fd).close()
        self._ended += 1


def main() -> None:
    """Do what the arguments and stdin ask for, and write what was seen."""
    gc.disable()
    seen = _Client(sys.argv[1:], sys.stdin.buffer.read()).run()
    sys.stdout.buffer.write(msgspec.json.encode(seen))


if __name__ == "__main__":
    main()
