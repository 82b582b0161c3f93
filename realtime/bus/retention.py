"""What a bus keeps, and what it lets go of while a log is written."""

import msgspec

from ..log import EventLog


class Retention(msgspec.Struct, frozen=True):
    """What is kept, and for how long.

    Attributes:
        log_limit_bytes: Payload of one log.
        window_events: Events that a `retain="window"` log keeps behind its head.
        ended_s: Seconds an ended log stays.
        ended_bytes: Memory all ended logs may take; beyond it the oldest go first.
    """

    log_limit_bytes: int = 2 * 2**20
    window_events: int = 1024
    ended_s: float = 600.0
    ended_bytes: int = 256 * 2**20


class Window:
    """What a log of `retain="window"` keeps in the process that writes it, and when its provider waits for readers.

    Args:
        log: Of that kind.
    """

    __slots__ = ("_events", "_log", "_most_bytes")

    def __init__(self, log: EventLog, retention: Retention) -> None:
        self._log = log
        self._events, self._most_bytes = retention.window_events, retention.log_limit_bytes

    def trim(self) -> None:
        """Let go of what is beyond it, but of nothing that a reader still needs."""
        log = self._log
        slowest = log.slowest
        log.trim(min(log.head - self._events, slowest))
        if log.payload_bytes > self._most_bytes:
            # To half of it, so that the next event does not do the same again.
            log.trim_bytes(self._most_bytes // 2, slowest)

    @property
    def is_full(self) -> bool:
        """Whether a reader is so far behind that the provider is to wait for it."""
        behind = self._log.head - self._log.slowest
        return behind > self._events or (behind > 0 and self._log.payload_bytes > self._most_bytes)

    async def wait(self) -> None:
        """Return when it is not full any more."""
        while self.is_full:
            await self._log.wait_moved()
            self.trim()


def window_of(log: EventLog, retention: Retention) -> Window | None:
    """The window of a log that has one."""
    return Window(log, retention) if log.meta.retain == "window" else None
