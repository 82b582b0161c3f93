"""The one hand that writes a log in memory: append and visible are the same moment."""

import time
from collections.abc import Awaitable, Callable

import msgspec

from ..events import AnyEvent, Finished, StoppedBy
from ..log import EventLog
from .base import SealResult


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


class MemoryWriter:
    """Appends straight into the log that observers read."""

    __slots__ = ("_born", "_ended", "_on_stop", "_window", "log", "stop_requested")

    def __init__(self, log: EventLog, retention: Retention, ended: Callable[[EventLog], None]) -> None:
        self.log = log
        self.stop_requested: StoppedBy | None = None
        self._window = retention if log.meta.retain == "window" else None
        self._ended = ended
        self._on_stop: Callable[[StoppedBy], None] | None = None
        self._born = time.monotonic()

    @property
    def written(self) -> tuple[int, int]:
        return self.log.head, self.log.appended_bytes

    def on_stop(self, callback: Callable[[StoppedBy], None]) -> None:
        self._on_stop = callback
        if self.stop_requested is not None:
            callback(self.stop_requested)

    def on_lost(self, callback: Callable[[], None]) -> None:
        """Nobody else can have it."""

    def request_stop(self, by: StoppedBy) -> None:
        """Note the first wish to stop and tell the session."""
        if self.stop_requested is None and self.log.finished is None:
            self.stop_requested = by
            self.log.stopping = True
            if self._on_stop is not None:
                self._on_stop(by)

    def append(self, event: AnyEvent, *, more: bool = False) -> int:
        seq = self.log.append(event, int((time.monotonic() - self._born) * 1000), more=more)
        if self._window is not None:
            self._trim(self._window)
        return seq

    def show(self) -> None:
        self.log.show()

    def room(self) -> Awaitable[None] | None:
        window = self._window
        return self._wait_for_room(window) if window is not None and self._is_full(window) else None

    async def _wait_for_room(self, window: Retention) -> None:
        while self._is_full(window):
            await self.log.wait_moved()
            self._trim(window)

    def _trim(self, window: Retention) -> None:
        """Let go of what is beyond the window, but of nothing that a reader still needs."""
        log = self.log
        slowest = log.slowest
        log.trim(min(log.head - window.window_events, slowest))
        if log.payload_bytes > window.log_limit_bytes:
            # To half of it, so that the next event does not do the same again.
            log.trim_bytes(window.log_limit_bytes // 2, slowest)

    def _is_full(self, window: Retention) -> bool:
        behind = self.log.head - self.log.slowest
        return behind > window.window_events or (behind > 0 and self.log.payload_bytes > window.log_limit_bytes)

    async def seal(self, finished: Finished) -> SealResult:
        if self.log.finished is not None:
            return "closed"
        self.log.append(finished, self._now_ms())
        # Whoever drove this and this would keep each other.
        self._on_stop = None
        self._ended(self.log)
        return "won"

    def _now_ms(self) -> int:
        return int((time.monotonic() - self._born) * 1000)
