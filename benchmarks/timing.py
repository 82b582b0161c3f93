"""Steps timed in turn, and what of the times is to be believed.

The time is that of this thread on a processor, so that others who want it are not in the figures. A ratio is the middle
one of those within a round: the processor's own speed changes from one moment to the next. Of the times themselves the
least counts, because everything that disturbs a try makes it slower.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from .steps import Step

# Seconds of each case, by round.
Rounds = Sequence[Mapping[str, float]]


class Comparison(NamedTuple):
    """Steps to be timed in turn, by case; the first is the baseline, which `baseline` describes."""

    name: str
    baseline: str
    steps: Mapping[str, Step]


def timed(comparison: Comparison, tries: int, least_s: float = 0.0) -> list[dict[str, float]]:
    """Seconds of each case, in rounds: so many, or as many as fit into the time if they are more."""
    rounds: list[dict[str, float]] = []
    until = time.perf_counter() + least_s
    while len(rounds) < tries or time.perf_counter() < until:
        times = {}
        for case, step in comparison.steps.items():
            began = time.thread_time()
            count = step()
            times[case] = (time.thread_time() - began) / count
        rounds.append(times)
    return rounds


def ratios(comparison: Comparison, rounds: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """What each case costs, by what the first one costs."""
    first = next(iter(comparison.steps))
    return {case: median(times[case] / times[first] for times in rounds) for case in comparison.steps}


def least_us(comparison: Comparison, rounds: Rounds) -> dict[str, float]:
    """Microseconds of each case."""
    return {case: min(times[case] for times in rounds) * 1e6 for case in comparison.steps}
