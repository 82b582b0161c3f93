"""How much to run: enough to believe in, or enough to see that nothing broke."""

import sys
from collections.abc import Collection, Mapping
from typing import TypeVar

import msgspec

T = TypeVar("T")


class Plan(msgspec.Struct, frozen=True):
    """Attributes:
    window_s: Seconds in which is measured, each time.
    rounds: Times everything is measured, in turn.
    """

    quick: bool
    window_s: float
    rounds: int

    @classmethod
    def full(cls) -> "Plan":
        return cls(quick=False, window_s=3.0, rounds=3)

    @classmethod
    def short(cls) -> "Plan":
        return cls(quick=True, window_s=1.5, rounds=1)

    def some(self, cases: Mapping[str, T], quick: Collection[str]) -> dict[str, T]:
        """All cases, or in a short run those that tell whether anything broke."""
        return {name: case for name, case in cases.items() if not self.quick or name in quick}

    def say(self, doing: str) -> None:
        """Tell whoever waits what is going on."""
        print(f"· {doing}", file=sys.stderr, flush=True)
