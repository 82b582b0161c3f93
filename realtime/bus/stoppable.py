"""What every writer makes of a wish to stop: the first one counts, by whatever way it came."""

from collections.abc import Callable

from ..events import StoppedBy
from ..log import EventLog


class Stoppable:
    """The part of a `Writer` that hears of stops.

    Attributes:
        log: The one it writes.
        stop_requested: Who asked for a stop, as far as this process knows.
    """

    __slots__ = ("_on_stop", "log", "stop_requested")

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self.stop_requested: StoppedBy | None = None
        self._on_stop: Callable[[StoppedBy], None] | None = None

    def on_stop(self, callback: Callable[[StoppedBy], None]) -> None:
        """See `Writer.on_stop`."""
        self._on_stop = callback
        if self.stop_requested is not None:
            callback(self.stop_requested)

    def request_stop(self, by: StoppedBy) -> None:
        """Note the first wish to stop and tell the session."""
        if self.stop_requested is None and self.log.finished is None:
            self.stop_requested = by
            self.log.stopping = True
            if self._on_stop is not None:
                self._on_stop(by)
