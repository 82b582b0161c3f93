"""`python -m benchmarks.regression [--record]`: whether a step of a token's path costs more than it did.

By ratios to the step's own baseline, which is timed in turn with it in the same process: a slow or busy machine slows
both. `results/micro-limits.json` holds the ratios that were recorded; a step may cost `ALLOWANCE` times as much. With
`--record` the ratios become those of now: the middle one of five measurements, on a quiet machine.
"""

import argparse
import functools
import platform
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from .decoding import delta_decodings
from .machine import describe
from .micro import comparisons
from .timing import Comparison, ratios, timed

LIMITS = Path(__file__).parent / "results" / "micro-limits.json"
# Fifteen per cent below what must be found, half as much again, and beyond anything that was seen without a cause.
ALLOWANCE = 1.3
# Another processor or Python has other ratios to begin with.
ALLOWANCE_ELSEWHERE = 2.0
_CHUNKS = 100
_TRIES = 12
_SECONDS = 0.3


class Limits(msgspec.Struct, frozen=True):
    """What was recorded, and where."""

    cpu: str
    python: str
    ratios: dict[str, float]

    @property
    def allowance(self) -> float:
        """What a ratio may be of the recorded one, on this machine."""
        return ALLOWANCE if (self.cpu, self.python) == _here() else ALLOWANCE_ELSEWHERE


class Regression(msgspec.Struct, frozen=True):
    """A step that costs more than it may."""

    step: str
    ratio: float
    limit: float


def recorded() -> Limits:
    """The limits that go with this code."""
    return msgspec.json.decode(LIMITS.read_bytes(), type=Limits)


def measured(compared: Sequence[Comparison], seconds: float = _SECONDS) -> dict[str, float]:
    """The ratio of each of our steps to its baseline."""
    found: dict[str, float] = {}
    for comparison in compared:
        by_case = ratios(comparison, timed(comparison, _TRIES, seconds))
        found |= {f"{comparison.name}: {case}": by for case, by in by_case.items() if case.startswith("ours")}
    return found


def regressions(compared: Sequence[Comparison], limits: Limits, seconds: float = _SECONDS) -> list[Regression]:
    """Steps over their limit; one that seems to be is measured again, for longer, before it is said to be."""
    suspects = set(_over(measured(compared, seconds), limits))
    again = [comparison for comparison in compared if any(step.startswith(comparison.name) for step in suspects)]
    over = _over(measured(again, 4 * seconds), limits)
    return [regression for step, regression in over.items() if step in suspects]


def _over(found: dict[str, float], limits: Limits) -> dict[str, Regression]:
    """A step that nobody has recorded is over its limit, too."""
    bounds = {step: limits.ratios.get(step, 0.0) * limits.allowance for step in found}
    return {step: Regression(step, ratio, bounds[step]) for step, ratio in found.items() if ratio > bounds[step]}


def steps() -> list[Comparison]:
    """What is measured, in tries that are short enough for some of them to be undisturbed."""
    return [*delta_decodings(_CHUNKS), *comparisons(_CHUNKS)]


@functools.cache
def _here() -> tuple[str, str]:
    return str(describe()["cpu"]), ".".join(platform.python_version_tuple()[:2])


def main() -> int:
    """Say what each step costs beside its limit, or record it; 1 when one costs too much."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.regression")
    parser.add_argument("--record", action="store_true", help="make the ratios of now the recorded ones")
    if parser.parse_args().record:
        runs = [measured(steps()) for _ in range(5)]
        middle = {step: round(statistics.median(run[step] for run in runs), 4) for step in runs[0]}
        LIMITS.write_bytes(msgspec.json.format(msgspec.json.encode(Limits(*_here(), middle))) + b"\n")
        return 0
    limits = recorded()
    found = measured(steps())
    for step, ratio in found.items():
        print(f"{step:56} {ratio:8.4f}, may be {limits.ratios.get(step, 0.0):8.4f} x {limits.allowance}")
    return 1 if _over(found, limits) else 0


if __name__ == "__main__":
    sys.exit(main())
