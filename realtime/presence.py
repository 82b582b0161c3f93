"""Who of those that read a log is still there, as far as it matters to what writes it."""

import asyncio
from collections.abc import Callable

# Between two attempts to end what nobody here observes.
_AGAIN_S = 5.0


class Presence:
    """Notices that everyone has left. One whom nobody ever observed is a batch job and is left alone."""

    def __init__(self, grace_s: float | None, abandoned: Callable[[], None]) -> None:
        self._grace_s = grace_s
        self._abandoned = abandoned
        self._observed = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def grace_ends_at(self) -> float | None:
        """Loop time at which it is given up; None while it is not alone."""
        return self._timer.when() if self._timer is not None else None

    def changed(self, present: int, observed: bool) -> None:  # noqa: FBT001 - the log's callback
        """Start the grace when the last reader leaves, end it when one comes.

        Args:
            observed: Whether the one who came or went is an observer; one who only waited for the end is none.
        """
        self.close()
        self._observed = self._observed or observed
        if present == 0 and self._observed and self._grace_s is not None:
            self._timer = asyncio.get_running_loop().call_later(self._grace_s, self._given_up, self._grace_s)

    def _given_up(self, grace_s: float) -> None:
        """Ask for the end; again and again, for that is refused while somebody observes it elsewhere."""
        self._timer = asyncio.get_running_loop().call_later(max(grace_s, _AGAIN_S), self._given_up, grace_s)
        self._abandoned()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
