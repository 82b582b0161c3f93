"""A circuit breaker: who fails again and again is not asked for a while, and then by one at first."""

import random
from collections.abc import Callable
from typing import Literal

import msgspec

Circuit = Literal["closed", "open", "probing"]

# Half of a pause at least, so that the breakers of many processes do not probe at once.
_LEAST_SHARE = 0.5


class BreakerRules(msgspec.Struct, frozen=True):
    """When it opens, and for how long.

    Attributes:
        failures: In a row, without a success between them.
        pause_s: The first pause; each failed probe doubles it.
        longest_pause_s: No pause is longer.
    """

    failures: int = 5
    pause_s: float = 5.0
    longest_pause_s: float = 120.0


class Breaker:
    """Counts what happened, and says whether to ask again.

    A probe is an ordinary generation: nothing that a made-up request could show is what its callers need to know.
    """

    def __init__(
        self, rules: BreakerRules, *, now: Callable[[], float], rand: Callable[[], float] = random.random
    ) -> None:
        self._rules = rules
        self._now = now
        self._rand = rand
        self._failures = 0
        self._pauses = 0
        self._open_until: float | None = None
        self._probing = False

    @property
    def circuit(self) -> Circuit:
        """`closed` while all is well, `open` while nobody is let through, `probing` when one is or may be."""
        if self._open_until is None:
            return "closed"
        return "open" if self._now() < self._open_until else "probing"

    @property
    def admits(self) -> bool:
        """Whether one more may be let through now."""
        circuit = self.circuit
        return circuit == "closed" or (circuit == "probing" and not self._probing)

    @property
    def opens_in_s(self) -> float:
        """Until it lets one through."""
        return 0.0 if self._open_until is None else max(0.0, self._open_until - self._now())

    def let_through(self) -> None:
        """One is on its way; in an open circuit it is the probe."""
        self._probing = self._open_until is not None

    def succeeded(self) -> None:
        """It answered."""
        self._failures = self._pauses = 0
        self._open_until = None
        self._probing = False

    def failed(self) -> None:
        """It failed in a way that the next one would meet too."""
        self._failures += 1
        was_probe, self._probing = self._probing, False
        if was_probe or (self._open_until is None and self._failures >= self._rules.failures):
            pause_s = min(self._rules.pause_s * 2**self._pauses, self._rules.longest_pause_s)
            self._pauses = min(self._pauses + 1, 16)
            self.pause(pause_s * (_LEAST_SHARE + (1 - _LEAST_SHARE) * self._rand()))

    def abandoned(self) -> None:
        """It was stopped before there was anything to learn from it."""
        self._probing = False

    def pause(self, seconds: float) -> None:
        """Open for so long, whatever was counted: the provider has said when to come back. So a probe is over."""
        self._probing = False
        self._open_until = max(self._open_until or 0.0, self._now() + seconds)
