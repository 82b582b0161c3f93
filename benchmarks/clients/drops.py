"""Observers whose TCP is killed again and again, who are gone for a while, and come back from where they were."""

import select
import time
from collections import deque

import msgspec

from benchmarks.accounts import Account
from benchmarks.stamps import now_us

from .asking import answer
from .sockets import connect, kill
from .tally import Observer, Tally

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


class _Client:
    """One run of a job."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._tally = Tally(job.rate)
        self._epoll = select.epoll()
        self._by_fd: dict[int, Observer] = {}
        self._observers: list[Observer] = []
        self._away: deque[tuple[float, Observer]] = deque()
        self._kills = self._behind = self._broken = 0

    def run(self) -> Dropped:
        job = self._job
        for n in range(job.observers):
            observer = Observer(connect(job.port, n))
            self._observers.append(observer)
            self._ask(observer)
            self._look(0)
        self._until_first()
        self._until(time.monotonic() + _WARM_S)
        self._tally.tokens = 0
        began, before, busy = time.monotonic(), Account.of(job.pid), time.process_time()
        for n in range(int(job.observers * job.window_s / job.every_s)):
            self._until(began + n * job.every_s / job.observers)
            self._kill(self._observers[n % job.observers])
        self._until(began + job.window_s)
        tokens = self._tally.tokens
        lasted, after, busy = time.monotonic() - began, Account.of(job.pid), time.process_time() - busy
        end_us = self._tally.newest_due_us(now_us())
        self._tally.end(end_us)
        self._settle(end_us)
        tally = self._tally
        return Dropped(
            due=job.observers * (round((end_us - tally.first_us) / tally.period_us) + 1),
            lost=tally.lost + sum(tally.missing(observer, end_us) for observer in self._observers),
            twice=tally.twice,
            kills=self._kills,
            replays=tally.replays,
            ages=tally.ages,
            behind=self._behind + sum(bool(observer.owed_us) for observer in self._observers),
            broken=self._broken,
            window_tokens=tokens,
            cpu_us=(after.cpu_ns - before.cpu_ns) / 1000,
            waited=(after.waited_ns - before.waited_ns) / 1e9 / lasted,
            client_busy=busy / lasted,
        )

    def _until_first(self) -> None:
        give_up = time.monotonic() + _FIRST_S
        while not self._tally.first_us:
            if time.monotonic() > give_up:
                raise RuntimeError(f"no token came; one has {self._observers[0].rest[-300:]!r}")
            self._look(_POLL_S)

    def _settle(self, end_us: int) -> None:
        give_up = time.monotonic() + self._job.offline_s + _SETTLE_S
        while time.monotonic() < give_up and not all(self._tally.has(one, end_us) for one in self._observers):
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

    def _kill(self, observer: Observer) -> None:
        if observer.sock is None:  # The server was first.
            return
        self._behind += bool(observer.owed_us)
        self._kills += 1
        self._leave(observer)

    def _leave(self, observer: Observer) -> None:
        assert observer.sock is not None
        del self._by_fd[observer.sock.fileno()]
        self._epoll.unregister(observer.sock)
        kill(observer.sock)
        observer.sock, observer.rest, observer.owed_us = None, b"", 0
        self._away.append((time.monotonic() + self._job.offline_s, observer))

    def _come_back(self, observer: Observer) -> None:
        self._tally.owe(observer)
        observer.sock = connect(self._job.port)
        self._ask(observer)

    def _ask(self, observer: Observer) -> None:
        assert observer.sock is not None
        header = CURSOR.replace(b"-\r", observer.cursor + b"\r") if observer.cursor else b""
        observer.sock.sendall(self._job.request.replace(CURSOR, header))
        observer.sock.setblocking(False)
        observer.shaking = bool(self._job.command)
        self._by_fd[observer.sock.fileno()] = observer
        self._epoll.register(observer.sock, select.EPOLLIN)

    def _read(self, observer: Observer) -> None:
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
            self._tally.take(observer, data[:whole])


if __name__ == "__main__":
    answer(Job, lambda job: _Client(job).run())
