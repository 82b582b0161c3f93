"""Keeps many generations running, and stops one after the other, each from a connection that is not its observer's.

What is stopped is replaced, so the server is as busy at the last stop as at the first. When the upstream saw it closed
is the upstream's to say: this client gives back when it asked.
"""

import re
import select
import socket
import time
from collections import deque

import msgspec

from benchmarks.accounts import Account
from benchmarks.stamps import MARK, now_us

from .asking import answer
from .sockets import connect

_POLL_S = 0.02
_FIRST_S = 20.0
# After the last stop, where nothing else is asked for.
SETTLE_S = 1.5
_READ_BYTES = 32 * 1024
_ID = re.compile(rb'"generation":"([0-9a-f]{32})"')
_FINISHED = b"event: finished"
NAME = "@@@@@@"


class Job(msgspec.Struct, frozen=True):
    """What to keep running, and to stop.

    Attributes:
        start: The request of one generation, with `NAME` for a prompt, which is always as long.
        stop: The request that stops one, with `NAME` for its id; without it a generation is stopped by leaving.
        warm_s: From everything running to the first stop.
        stop_port: Whom to ask for a stop; `port` when 0.
        settle_s: After the last stop: what has not happened by then has not happened.
    """

    port: int
    pid: int
    generations: int
    start: bytes
    stop: bytes
    stops: int
    every_s: float
    spread_s: float
    warm_s: float
    stop_port: int = 0
    settle_s: float = SETTLE_S

    @property
    def longest_s(self) -> float:
        return self.spread_s + self.warm_s + self.stops * self.every_s + 2 * _FIRST_S + self.settle_s


class Asked(msgspec.Struct, frozen=True):
    """When which stop was sent, and when its observer had the end, in microseconds by prompt.

    Attributes:
        live: Generations that had a token before the first stop.
        late_us: The most that a stop was sent after its time: how far this client was behind.
        waited: Share of the time of the stops in which the server could have run and another process had its core.
        busy: Share of the time of the stops this client was on its core.
    """

    sent_us: dict[str, int]
    told_us: dict[str, int]
    live: int
    late_us: int
    waited: float
    busy: float


class _Generation:
    """One that is running, and its observer's connection."""

    def __init__(self, prompt: str, sock: socket.socket) -> None:
        self.prompt = prompt
        self.sock = sock
        self.id = b""
        self.live = False
        self.tail = b""


class _Client:
    """One run of a job."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._epoll = select.epoll()
        self._observed: dict[int, _Generation] = {}
        self._stopping: dict[int, socket.socket] = {}
        self._answers: dict[int, bytes] = {}
        self._idle: list[socket.socket] = []
        self._running: deque[_Generation] = deque()
        self._opened = 0
        self._sent_us: dict[str, int] = {}
        self._told_us: dict[str, int] = {}

    def run(self) -> Asked:
        job = self._job
        began = time.monotonic()
        for n in range(job.generations):
            self._until(began + job.spread_s * n / job.generations)
            self._open()
        self._until_live()
        self._until(time.monotonic() + job.warm_s)
        live = sum(one.live for one in self._running)
        late_us, began, busy = 0, time.monotonic(), time.process_time()
        before = Account.of(job.pid)
        for n in range(job.stops):
            self._until(began + n * job.every_s)
            late_us = max(late_us, round((time.monotonic() - began - n * job.every_s) * 1e6))
            self._stop(self._running.popleft())
            self._open()
        lasted = time.monotonic() - began
        waited = (Account.of(job.pid).waited_ns - before.waited_ns) / 1e9 / lasted
        busy = (time.process_time() - busy) / lasted
        self._until(time.monotonic() + job.settle_s)
        return Asked(self._sent_us, self._told_us, live, late_us, waited, busy)

    def _until_live(self) -> None:
        """Until every generation has begun, or has had the time to."""
        give_up = time.monotonic() + _FIRST_S
        while any(not one.live for one in self._running) and time.monotonic() < give_up:
            self._until(time.monotonic() + _POLL_S)

    def _open(self) -> None:
        prompt = f"g{self._opened:05d}"
        self._opened += 1
        sock = connect(self._job.port)
        sock.sendall(self._job.start.replace(NAME.encode(), prompt.encode()))
        sock.setblocking(False)
        generation = _Generation(prompt, sock)
        self._observed[sock.fileno()] = generation
        self._epoll.register(sock, select.EPOLLIN)
        self._running.append(generation)

    def _stop(self, generation: _Generation) -> None:
        if not self._job.stop:
            self._sent_us[generation.prompt] = now_us()
            self._leave(generation.sock)
            return
        give_up = time.monotonic() + _FIRST_S
        while not generation.id:
            if time.monotonic() > give_up:
                raise RuntimeError(f"{generation.prompt} does not start: {generation.tail!r}")
            self._until(time.monotonic() + _POLL_S)
        sock = self._idle.pop() if self._idle else connect(self._job.stop_port or self._job.port)
        request = self._job.stop.replace(NAME.encode(), generation.id)
        self._sent_us[generation.prompt] = now_us()
        sock.sendall(request)
        self._stopping[sock.fileno()] = sock
        self._epoll.register(sock, select.EPOLLIN)

    def _until(self, end: float) -> None:
        while (left := end - time.monotonic()) > 0:
            for fd, _ in self._epoll.poll(min(left, _POLL_S), 256):
                if fd in self._stopping:
                    self._answered(self._stopping[fd])
                else:
                    self._read(self._observed[fd])

    def _answered(self, sock: socket.socket) -> None:
        said = self._answers.pop(sock.fileno(), b"") + sock.recv(_READ_BYTES)
        if not said.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"a stop was answered {said[:200]!r}")
        if not said.endswith(b"}"):  # The head alone.
            self._answers[sock.fileno()] = said
            return
        del self._stopping[sock.fileno()]
        self._epoll.unregister(sock)
        self._idle.append(sock)

    def _read(self, generation: _Generation) -> None:
        data = generation.tail + generation.sock.recv(_READ_BYTES)
        if not generation.id and (found := _ID.search(data)):
            generation.id = found[1]
        generation.live = generation.live or MARK in data
        if _FINISHED in data:
            if generation.prompt not in self._sent_us:
                raise RuntimeError(f"{generation.prompt} ended by itself: {data[-400:]!r}")
            self._told_us[generation.prompt] = now_us()
            self._leave(generation.sock)
            return
        # The id comes in the first event, maybe in two reads.
        generation.tail = data[-len(_FINISHED) :] if generation.id or not self._job.stop else data

    def _leave(self, sock: socket.socket) -> None:
        del self._observed[sock.fileno()]
        self._epoll.unregister(sock)
        sock.close()


if __name__ == "__main__":
    answer(Job, lambda job: _Client(job).run())
