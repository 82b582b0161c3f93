"""When a writer says that it is alive, and when an ended log is certain to stay ended."""

import math
import time

# What a replica may lag behind: an end that Redis still has so much later will not be forgotten by a failover.
CERTAIN_S = 10.0
# A lease is renewed this often, and holds for the longer time. Whoever hangs for that long is replaced. With the time
# between two looks, and with that of a process that hears nothing either, a stop still takes no more than 3.5 s.
RENEW_S, LEASE_S = 2.5, 8.0
# A renewal is begun at this part of that time, so that it has come to Redis in time whenever it is next looked at, and
# whatever its way takes.
_EARLY = 2 / 3


class Lease:
    """Of one log. Each renewal is a look at what Redis has of it, too.

    Args:
        kept_s: Seconds an ended log stays.

    Attributes:
        settled: The log has ended, and that will not be forgotten; or it has, and rightly so.
    """

    __slots__ = ("_ended_at", "_kept_s", "_renewed_at", "settled")

    def __init__(self, kept_s: float) -> None:
        self._kept_s = kept_s
        self._renewed_at = time.monotonic()
        self._ended_at: float | None = None
        self.settled = False

    def due(self, now: float) -> bool:
        """Whether it is time to look, at a live log or once more at an ended one."""
        if self._ended_at is None:
            return now - self._renewed_at >= _EARLY * RENEW_S
        if now - self._ended_at >= self._kept_s:
            self.settled = True
            return False
        return now - self._renewed_at >= CERTAIN_S

    def renew(self, now: float) -> None:
        """It was renewed, by what was sent at that time."""
        self._renewed_at = now

    def end(self, now: float) -> None:
        """Redis took the end, in what was sent at that time."""
        self._renewed_at = self._ended_at = now

    def still_ended(self, now: float) -> None:
        """Redis still had the end at that time."""
        self.settled = self._ended_at is not None and now - self._ended_at >= CERTAIN_S

    def doubt(self) -> None:
        """Redis may be another than it was, and have forgotten something: look at once."""
        self._renewed_at = -math.inf
