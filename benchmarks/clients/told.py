"""Brings many observers to one generation, stops it from elsewhere, and waits until the last of them has been told."""

import http.client
import random
import select
import socket
import time

import msgspec

from benchmarks.report import BUCKET_US
from benchmarks.stamps import MARK, now_us

from .asking import answer
from .sockets import connect, kill

_PATIENCE_S = 10.0
_READ_BYTES = 32 * 1024
# A stop is not in step with the tokens.
_PHASE_S = 0.05


class Job(msgspec.Struct, frozen=True):
    """Whom to tell what.

    Attributes:
        start: Path to start a generation at, with `body`; without it there is one already.
        observe: The request of an observer, `@` for the generation's id.
        stop: Path to stop it at, `@` for its id.
        over: What an observer is told.
    """

    port: int
    observers: int
    repeats: int
    start: str
    body: bytes
    observe: bytes
    stop: str
    stop_body: bytes = b""
    over: bytes = b"event: finished"

    @property
    def longest_s(self) -> float:
        return self.repeats * 1.0 + 3 * _PATIENCE_S


class Told(msgspec.Struct, frozen=True):
    """How many were told how late, by bucket of `BUCKET_US`: all of them, and the last of each time."""

    each: dict[int, int]
    last: dict[int, int]


class _Client:
    """One run of a job."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._control = http.client.HTTPConnection("127.0.0.1", job.port, timeout=_PATIENCE_S)
        self._each: dict[int, int] = {}
        self._last: dict[int, int] = {}

    def run(self) -> Told:
        for _ in range(self._job.repeats):
            self._once()
        return Told(self._each, self._last)

    def _once(self) -> None:
        job = self._job
        generation = msgspec.json.decode(self._post(job.start, job.body))["id"] if job.start else ""
        request = job.observe.replace(b"@", generation.encode())
        epoll, sockets = select.epoll(), {}
        for _ in range(job.observers):
            sock = connect(job.port)
            sock.sendall(request)
            sock.setblocking(False)
            sockets[sock.fileno()] = sock
            epoll.register(sock, select.EPOLLIN)
        self._until(epoll, sockets, MARK)
        self._read_for(epoll, sockets, random.uniform(0, _PHASE_S))
        sent_us = now_us()
        self._control.request("POST", job.stop.replace("@", generation), job.stop_body)
        came = self._until(epoll, sockets, job.over)
        self._answered()
        for late in came:
            self._each[(late - sent_us) // BUCKET_US] = self._each.get((late - sent_us) // BUCKET_US, 0) + 1
        last = (max(came) - sent_us) // BUCKET_US
        self._last[last] = self._last.get(last, 0) + 1
        for sock in sockets.values():
            kill(sock)
        epoll.close()

    def _until(self, epoll: select.epoll, sockets: dict[int, socket.socket], mark: bytes) -> list[int]:
        """Read until every observer has it; when each did, in microseconds."""
        tails = dict.fromkeys(sockets, b"")
        came: list[int] = []
        give_up = time.monotonic() + _PATIENCE_S
        while tails:
            if time.monotonic() > give_up:
                raise RuntimeError(f"{len(tails)} observers do not get {mark!r}; one has {tails.popitem()}")
            for fd, _ in epoll.poll(0.02, 256):
                data = tails.get(fd, b"") + sockets[fd].recv(_READ_BYTES)
                if fd in tails:
                    tails[fd] = data[1 - len(mark) :]
                    if mark in data:
                        came.append(now_us())
                        del tails[fd]
        return came

    def _read_for(self, epoll: select.epoll, sockets: dict[int, socket.socket], seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for fd, _ in epoll.poll(left, 256):
                sockets[fd].recv(_READ_BYTES)

    def _post(self, path: str, body: bytes) -> bytes:
        self._control.request("POST", path, body, {"Content-Type": "application/json"})
        return self._answered()

    def _answered(self) -> bytes:
        response = self._control.getresponse()
        said = response.read()
        if response.status >= 300:
            raise RuntimeError(f"answered {response.status}: {said[:200]!r}")
        return said


if __name__ == "__main__":
    answer(Job, lambda job: _Client(job).run())
