"""What a writer makes of a Redis that takes nothing: it asks again now and then, and of a full one it expects no more
after a while."""

import math

from realtime.errors import RealtimeError

# Between two tries to write what was refused.
_ASK_AGAIN_S = 0.25
# How long a full Redis is waited for. What else it may say no to is like its absence: it passes, or somebody mends it.
_FULL_S = 10.0


class Refusals:
    """Of one writer.

    Attributes:
        full: Redis was full for longer than is waited, and has taken nothing since.
    """

    __slots__ = ("_again_at", "_since", "full")

    def __init__(self) -> None:
        self.full = False
        self._since: float | None = None
        self._again_at = -math.inf

    def resting(self, now: float) -> bool:
        """Whether something was refused just now, and is not to be tried yet."""
        return now < self._again_at

    def note(self, fault: RealtimeError, now: float) -> None:
        """Something was refused, for that reason."""
        self._again_at = now + _ASK_AGAIN_S
        if fault.code == "bus_full":
            self._since = now if self._since is None else self._since
            self.full = now - self._since >= _FULL_S

    def taken(self) -> None:
        """Something was not refused."""
        self._since, self.full = None, False
