"""When to try again: exponential backoff with full jitter, and when to stop trying.

Full jitter (any moment of the window, not its end with a little noise) is what spreads a thousand clients of one
server that restarted. What the server itself asked for comes first: `bye.retry_ms` and `Retry-After` are the least
wait, with the jitter on top; SSE's `retry:`, which everybody is sent at the start, is the width of the first window.
"""

from collections.abc import Callable
from dataclasses import dataclass

from .errors import DroppedError, UnreachableError


@dataclass(frozen=True, slots=True)
class Backoff:
    """The n-th failure in a row waits somewhere in `base_s * 2**(n-1)`, never wider than `cap_s`."""

    base_s: float = 0.25
    cap_s: float = 15.0

    def window_s(self, failures: int, base_s: float | None = None) -> float:
        """Width of the window after `failures` in a row, at least one."""
        base = self.base_s if base_s is None else base_s
        # 2.0**64 times any base is past any cap, and floats end at 2**1024.
        return min(self.cap_s, base * 2.0 ** min(failures - 1, 64))


class Patience:
    """One client's failures in a row, and how long they have lasted. It decides; the caller sleeps.

    Args:
        give_up_s: Seconds of failures, counted from the first, after which the next one is final.
        clock: Seconds that never go back.
        random: Uniform in [0, 1).
    """

    def __init__(
        self, backoff: Backoff, *, give_up_s: float, clock: Callable[[], float], random: Callable[[], float]
    ) -> None:
        self._backoff = backoff
        self._give_up_s = give_up_s
        self._clock = clock
        self._random = random
        self._failures = 0
        self._since_s = 0.0

    def __repr__(self) -> str:
        return f"<Patience failures={self._failures}>"

    def wait_s(self, dropped: DroppedError, *, progress: bool = False, base_s: float | None = None) -> float:
        """Seconds to wait after `dropped`; `progress` says that the connection was of use before it broke.

        Raises:
            UnreachableError: It has failed for too long, or the server wants to be left alone for longer than that.
        """
        now_s = self._clock()
        if progress or not self._failures:
            self._failures, self._since_s = 0, now_s
        self._failures += 1
        left_s = self._since_s + self._give_up_s - now_s
        if left_s <= 0 or dropped.wait_s > left_s:
            raise UnreachableError(f"gave up after {now_s - self._since_s:.0f} s: {dropped}") from dropped
        jitter_s = self._random() * self._backoff.window_s(self._failures, base_s)
        # The last try is made at the very end rather than given up for a wide window.
        return min(dropped.wait_s + jitter_s, left_s)
