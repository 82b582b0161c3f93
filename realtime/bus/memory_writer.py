"""The one hand that writes a log in memory: append and visible are the same moment."""

import time
from collections.abc import Awaitable, Callable

from ..events import AnyEvent, Finished
from ..log import EventLog
from .base import SealResult
from .retention import Retention, window_of
from .stoppable import Stoppable


class MemoryWriter(Stoppable):
    """Appends straight into the log that observers read."""

    __slots__ = ("_born", "_ended", "_window")

    def __init__(self, log: EventLog, retention: Retention, ended: Callable[[EventLog], None]) -> None:
        super().__init__(log)
        self._window = window_of(log, retention)
        self._ended = ended
        self._born = time.monotonic()

    @property
    def written(self) -> tuple[int, int]:
        return self.log.head, self.log.appended_bytes

    def on_lost(self, callback: Callable[[], None]) -> None:
        """Nobody else can have it."""

    def append(self, event: AnyEvent, *, more: bool = False) -> int:
        seq = self.log.append(event, int((time.monotonic() - self._born) * 1000), more=more)
        if self._window is not None:
            self._window.trim()
        return seq

    def show(self) -> None:
        self.log.show()

    def room(self) -> Awaitable[None] | None:
        window = self._window
        return window.wait() if window is not None and window.is_full else None

    async def seal(self, finished: Finished) -> SealResult:
        if self.log.finished is not None:
            return "closed"
        self.log.append(finished, int((time.monotonic() - self._born) * 1000))
        # Whoever drove this and this would keep each other.
        self._on_stop = None
        self._ended(self.log)
        return "won"
