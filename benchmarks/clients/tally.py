"""Who has which event, of those that come at a steady rate and carry the time they were due.

So the number of an event is known without parsing it: a step of two periods is an event lost, one of none an event that
came twice. An event, and the cursor in it, count once its frame is whole.
"""

import math
import socket

from benchmarks.report import BUCKET_US
from benchmarks.stamps import DIGITS, MARK, now_us


class Observer:
    """One of them.

    Attributes:
        sock: Its connection, while it has one.
        cursor: Of its newest event.
        rest: What came of an event that is not whole.
        shaking: Whether a WebSocket's handshake is still to be answered.
        last_us: When its newest event was due.
        owed_us: When the one was that it needs to be caught up; 0 when it is.
        asked_us: When it began to come back.
    """

    __slots__ = ("asked_us", "cursor", "last_us", "owed_us", "rest", "shaking", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock: socket.socket | None = sock
        self.cursor = self.rest = b""
        self.last_us = 0.0
        self.owed_us = self.asked_us = 0
        self.shaking = False


class Tally:
    """The events of all observers.

    Attributes:
        first_us: When the first event of all was due; 0 before it came.
        ages: Of the events of those who have caught up, on arrival, by bucket of `BUCKET_US`.
        replays: The same for the time it took to catch up.
    """

    def __init__(self, rate: float) -> None:
        self.period_us = 1e6 / rate
        self.first_us = 0
        self.tokens = self.lost = self.twice = 0
        self.replays: dict[int, int] = {}
        self.ages: dict[int, int] = {}
        self._beyond_us = math.inf

    def take(self, observer: Observer, data: bytes) -> None:
        """Count what came: whole frames."""
        pieces = data.split(MARK)
        pieces.pop()
        if not pieces:
            return
        self.tokens += len(pieces)
        self.first_us = self.first_us or int(pieces[0][-DIGITS:])
        now, last = now_us(), observer.last_us or self.first_us - self.period_us
        for piece in pieces:
            due = min(int(piece[-DIGITS:]), self._beyond_us)
            if last == self._beyond_us:
                break
            steps = round((due - last) / self.period_us)
            if steps < 1:
                self.twice += 1
                continue
            self.lost += steps - 1
            last = due
            if not observer.owed_us:
                bucket = int(now - due) // BUCKET_US
                self.ages[bucket] = self.ages.get(bucket, 0) + 1
        observer.last_us = last
        self._keep_cursor(observer, data)
        if observer.owed_us and self.has(observer, observer.owed_us):
            bucket = (now - observer.asked_us) // BUCKET_US
            self.replays[bucket] = self.replays.get(bucket, 0) + 1
            observer.owed_us = 0

    def owe(self, observer: Observer) -> None:
        """It comes back: it is caught up once it has the newest event that is due now, or that counts at all."""
        observer.asked_us = now_us()
        observer.owed_us = int(min(self.newest_due_us(observer.asked_us), self._beyond_us - self.period_us))

    def end(self, end_us: int) -> None:
        """Count nothing that is due later, except that what comes tells what is missing before it."""
        self._beyond_us = end_us + self.period_us

    def has(self, observer: Observer, due_us: int) -> bool:
        """Whether it has the event that was due then."""
        return observer.last_us > due_us - self.period_us / 2

    def missing(self, observer: Observer, end_us: int) -> int:
        """How many of the newest events it does not have."""
        last = observer.last_us or self.first_us - self.period_us
        return max(0, round((end_us - last) / self.period_us))

    def newest_due_us(self, now: int) -> int:
        """When the newest event was due."""
        return round(self.first_us + (now - self.first_us) // self.period_us * self.period_us)

    def _keep_cursor(self, observer: Observer, data: bytes) -> None:
        # What is whole begins with a chunk's head on some servers, and with the field itself on others.
        before, field, rest = data.rpartition(MARK)[0].rpartition(b"id: ")
        if field and (not before or before.endswith(b"\n")):
            observer.cursor = rest.partition(b"\n")[0].rstrip(b"\r")
