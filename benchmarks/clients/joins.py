"""Joins one log again and again, one after the other: how long each takes to have it all, and what it costs."""

import time

import msgspec

from benchmarks.accounts import Account
from benchmarks.report import BUCKET_US
from benchmarks.stamps import MARK

from .asking import answer
from .sockets import connect, kill, upgrade

_READ_BYTES = 256 * 1024
# The first ones fill caches, of the log's frames too.
_WARM = 5


class Job(msgspec.Struct, frozen=True):
    """What to join.

    Attributes:
        request: Sent on each connection, which is a new one.
        command: For WebSockets: the first message, once the handshake was answered.
        tokens: That the log holds past the place the request names.
    """

    port: int
    pid: int
    request: bytes
    tokens: int
    joins: int
    command: bytes = b""


class Joined(msgspec.Struct, frozen=True):
    """Times from before the connection to the last token, by bucket of `BUCKET_US`, and the server's CPU for all.

    Attributes:
        waited: Share of the time in which the server could have run and another process had its core.
        received: Bytes of one join.
    """

    ages: dict[int, int]
    joins: int
    cpu_us: float
    waited: float
    received: int


def _join(job: Job) -> tuple[int, int]:
    """Microseconds, and bytes."""
    began = time.monotonic_ns()
    sock = connect(job.port)
    if job.command:
        data = upgrade(sock, job.request, job.command)
    else:
        sock.sendall(job.request)
        data = b""
    received, left = len(data), job.tokens - data.count(MARK)
    tail = data[1 - len(MARK) :]
    while left > 0:
        data = sock.recv(_READ_BYTES)
        if not data:
            raise RuntimeError(f"{left} of {job.tokens} tokens did not come: {tail!r}")
        received += len(data)
        data = tail + data
        left -= data.count(MARK)
        # One byte of a mark of two: it cannot be counted twice.
        tail = data[1 - len(MARK) :]
    took_us = (time.monotonic_ns() - began) // 1000
    kill(sock)
    if left < 0:
        raise RuntimeError(f"{-left} tokens too many")
    return took_us, received


def run(job: Job) -> Joined:
    """Join so often."""
    for _ in range(_WARM):
        _join(job)
    began, before = time.monotonic(), Account.of(job.pid)
    ages, received = dict[int, int](), 0
    for _ in range(job.joins):
        took_us, received = _join(job)
        ages[took_us // BUCKET_US] = ages.get(took_us // BUCKET_US, 0) + 1
    after = Account.of(job.pid)
    return Joined(
        ages=ages,
        joins=job.joins,
        cpu_us=(after.cpu_ns - before.cpu_ns) / 1000,
        waited=(after.waited_ns - before.waited_ns) / 1e9 / (time.monotonic() - began),
        received=received,
    )


if __name__ == "__main__":
    answer(Job, run)
