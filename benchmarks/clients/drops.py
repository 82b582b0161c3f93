"""Observers whose TCP is killed again and again, who are gone for a while, and come back from where they were.

Every token carries the time it was due, at a steady rate, so its number is known without parsing: a step of two
periods is an event lost, one of none an event that came twice. An event counts when its frame is whole, and so does
the cursor in it.
"""

import math
import select
import socket
import time
from collections import deque

import msgspec

from benchmarks.accounts import Account
from benchmarks.report import BUCKET_US
from benchmarks.stamps import DIGITS, MARK, now_us

from .asking import answer
from .sockets import connect, kill

CURSOR = b"Last-Event-ID: -\r\n"
_READ_BYTES = 64 * 1024
_POLL_S = 0.02
_FIRST_S = 30.0
_WARM_S = 1.0
# After the window nobody is killed, and everyone may get what the window owes him.
_SETTLE_S = 5.0


class Job(msgspec.Struct, frozen=True):
    """Whom to kill, and when.

    Attributes:
        request: Of every connection; `CURSOR` in it becomes the header with the observer's cursor, or goes.
        command: For WebSockets: the first message, once the handshake was answered.
        end: What a whole event ends with.
        every_s: From one death of an observer to its next; they are spread evenly over it.
        offline_s: From a death to the request that comes back.
    """

    port: int
    pid: int
    observers: int
    rate: float
    request: bytes
    end: bytes
    every_s: float
    offline_s: float
    window_s: float
    command: bytes = b""

    @property
    def longest_s(self) -> float:
        return _FIRST_S + _WARM_S + self.window_s + self.offline_s + _SETTLE_S + 20


class Dropped(msgspec.Struct, frozen=True):
    """What became of them.

    Attributes:
        due: Events due in the window and before it, for all observers together.
        twice: Events that came again.
        replays: From just before the connection of one who comes back to the newest event that was due by then.
        ages: Of the events of those who have caught up, on arrival.
        behind: Times that somebody was killed before he had caught up, or had not at the end.
        broken: Connections the server ended.
        window_tokens: Events that came in the window.
        waited: Share of the window in which the server could have run and another process had its core.
    """

    due: int
    lost: int
    twice: int
    kills: int
    replays: dict[int, int]
    ages: dict[int, int]
    behind: int
    broken: int
    window_tokens: int
    cpu_us: float
    waited: float
    client_busy: float


class _Observer:
    """One of them; `last` is when its newest event was due, `owed` the event that it must have to be caught up."""

    __slots__ = ("asked_us", "cursor", "last", "owed", "rest", "shaking", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock: socket.socket | None = sock
        self.cursor = self.rest = b""
        self.last = 0.0
        self.owed = self.asked_us = 0
        self.shaking = False


class _Client:
    """One run of a job."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._period_us = 1e6 / job.rate
        self._epoll = select.epoll()
        self._by_fd: dict[int, _Observer] = {}
        self._observers: list[_Observer] = []
        self._away: deque[tuple[float, _Observer]] = deque()
        self._first_us = 0
        self._beyond_us = math.inf
        self._lost = self._twice = self._kills = self._behind = self._broken = self._tokens = 0
        self._replays: dict[int, int] = {}
        self._ages: dict[int, int] = {}

    def run(self) -> Dropped:
        job = self._job
        for n in range(job.observers):
            observer = _Observer(connect(job.port, n))
            self._observers.append(observer)
            self._ask(observer)
            self._look(0)
        self._until_first()
        self._until(time.monotonic() + _WARM_S)
        self._tokens = 0
        began, before, busy = time.monotonic(), Account.of(job.pid), time.process_time()
        for n in range(int(job.observers * job.window_s / job.every_s)):
            self._until(began + n * job.every_s / job.observers)
            self._kill(self._observers[n % job.observers])
        self._until(began + job.window_s)
        tokens = self._tokens
        lasted, after, busy = time.monotonic() - began, Account.of(job.pid), time.process_time() - busy
        end_us = self._newest_due(now_us())
        # Of what is due later, the first tells how much is missing before it, and no more is counted.
        self._beyond_us = end_us + self._period_us
        self._settle(end_us)
        return Dropped(
            due=job.observers * (round((end_us - self._first_us) / self._period_us) + 1),
            lost=self._lost + sum(self._missing(observer, end_us) for observer in self._observers),
            twice=self._twice,
            kills=self._kills,
            replays=self._replays,
            ages=self._ages,
            behind=self._behind + sum(bool(observer.owed) for observer in self._observers),
            broken=self._broken,
            window_tokens=tokens,
            cpu_us=(after.cpu_ns - before.cpu_ns) / 1000,
            waited=(after.waited_ns - before.waited_ns) / 1e9 / lasted,
            client_busy=busy / lasted,
        )

    def _until_first(self) -> None:
        give_up = time.monotonic() + _FIRST_S
        while not self._first_us:
            if time.monotonic() > give_up:
                raise RuntimeError(f"no token came; one has {self._observers[0].rest[-300:]!r}")
            self._look(_POLL_S)

    def _settle(self, end_us: int) -> None:
        give_up = time.monotonic() + self._job.offline_s + _SETTLE_S
        while time.monotonic() < give_up and any(one.last < end_us - self._period_us / 2 for one in self._observers):
            self._look(_POLL_S)

    def _until(self, end: float) -> None:
        while (left := end - time.monotonic()) > 0:
            self._look(min(left, _POLL_S))

    def _look(self, patience_s: float) -> None:
        while self._away and self._away[0][0] <= time.monotonic():
            self._come_back(self._away.popleft()[1])
        if self._away:
            patience_s = min(patience_s, max(0.0, self._away[0][0] - time.monotonic()))
        for fd, _ in self._epoll.poll(patience_s, 256):
            self._read(self._by_fd[fd])

    def _kill(self, observer: _Observer) -> None:
        if observer.sock is None:  # The server was first.
            return
        self._behind += bool(observer.owed)
        self._kills += 1
        self._leave(observer)

    def _leave(self, observer: _Observer) -> None:
        assert observer.sock is not None
        del self._by_fd[observer.sock.fileno()]
        self._epoll.unregister(observer.sock)
        kill(observer.sock)
        observer.sock, observer.rest, observer.owed = None, b"", 0
        self._away.append((time.monotonic() + self._job.offline_s, observer))

    def _come_back(self, observer: _Observer) -> None:
        observer.asked_us = now_us()
        # After the window, only what was due in it.
        observer.owed = int(min(self._newest_due(observer.asked_us), self._beyond_us - self._period_us))
        observer.sock = connect(self._job.port)
        self._ask(observer)

    def _ask(self, observer: _Observer) -> None:
        assert observer.sock is not None
        header = CURSOR.replace(b"-\r", observer.cursor + b"\r") if observer.cursor else b""
        observer.sock.sendall(self._job.request.replace(CURSOR, header))
        observer.sock.setblocking(False)
        observer.shaking = bool(self._job.command)
        self._by_fd[observer.sock.fileno()] = observer
        self._epoll.register(observer.sock, select.EPOLLIN)

    def _read(self, observer: _Observer) -> None:
        assert observer.sock is not None
        try:
            data = observer.sock.recv(_READ_BYTES)
        except ConnectionError:
            data = b""
        if not data:
            self._broken += 1
            self._leave(observer)
            return
        data = observer.rest + data
        if observer.shaking:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                observer.rest = head
                return
            observer.sock.sendall(self._job.command)
            observer.shaking = False
        whole = data.rfind(self._job.end) + len(self._job.end)
        observer.rest = data[whole:] if whole >= len(self._job.end) else data
        if whole >= len(self._job.end):
            self._take(observer, data[:whole])

    def _take(self, observer: _Observer, data: bytes) -> None:
        pieces = data.split(MARK)
        pieces.pop()
        if not pieces:
            return
        self._tokens += len(pieces)
        now, period_us = now_us(), self._period_us
        self._first_us = self._first_us or int(pieces[0][-DIGITS:])
        last = observer.last or self._first_us - period_us
        for piece in pieces:
            due = min(int(piece[-DIGITS:]), self._beyond_us)
            if last == self._beyond_us:
                break
            steps = round((due - last) / period_us)
            if steps < 1:
                self._twice += 1
                continue
            self._lost += steps - 1
            last = due
            if not observer.owed:
                bucket = int(now - due) // BUCKET_US
                self._ages[bucket] = self._ages.get(bucket, 0) + 1
        observer.last = last
        # What is whole begins with a chunk's head on some servers, and with the field itself on others.
        before, field, rest = data.rpartition(MARK)[0].rpartition(b"id: ")
        if field and (not before or before.endswith(b"\n")):
            observer.cursor = rest.partition(b"\n")[0].rstrip(b"\r")
        if observer.owed and last > observer.owed - period_us / 2:
            bucket = (now - observer.asked_us) // BUCKET_US
            self._replays[bucket] = self._replays.get(bucket, 0) + 1
            observer.owed = 0

    def _newest_due(self, now: int) -> int:
        return round(self._first_us + (now - self._first_us) // self._period_us * self._period_us)

    def _missing(self, observer: _Observer, end_us: int) -> int:
        last = observer.last or self._first_us - self._period_us
        return max(0, round((end_us - last) / self._period_us))


if __name__ == "__main__":
    answer(Job, lambda job: _Client(job).run())
