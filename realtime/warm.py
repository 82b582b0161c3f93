"""Frames of ended logs that nobody reads at the moment, kept while there is room.

A page that is reloaded after its answer has ended asks for the whole log again, and encoding that is most of what it
costs. But most ended logs are never asked for, and their frames are as large as they are.
"""

from collections import OrderedDict
from typing import Protocol


class Coolable(Protocol):
    """A log, as far as it concerns this room."""

    @property
    def frames_bytes(self) -> int:
        """What its frames take."""
        ...

    def cool(self) -> None:
        """Let go of its frames."""
        ...


class Warm:
    """The logs that may keep their frames, those that were read last.

    Args:
        most_bytes: What all these frames may take.
    """

    def __init__(self, most_bytes: int = 16 * 2**20) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._logs: OrderedDict[Coolable, int] = OrderedDict()

    def add(self, log: Coolable) -> None:
        """Keep the frames of `log`, if not for long."""
        self.discard(log)
        size = log.frames_bytes
        self._logs[log] = size
        self._bytes += size
        while self._bytes > self._most_bytes:
            oldest, size = self._logs.popitem(last=False)
            self._bytes -= size
            oldest.cool()

    def discard(self, log: Coolable) -> None:
        """Forget `log`, which is read again or is no longer kept; harmless when it is not here."""
        self._bytes -= self._logs.pop(log, 0)
