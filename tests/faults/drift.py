"""Whether a figure that was sampled for a while grows, and how much of that the samples can tell from their wobble."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

# Samples that follow each other are alike; a run is worth no more than so many independent ones.
_INDEPENDENT = 12
# From the median of deviations to a standard deviation, for what is normally distributed.
_MAD = 1.4826


@dataclass(frozen=True)
class Drift:
    """A robust line through samples.

    Attributes:
        slope: Of the line, per second.
        noise: Standard error of the slope, per second.
        level: What the line is at in the middle of the run.
    """

    slope: float
    noise: float
    level: float

    def within(self, per_hour: float) -> bool:
        """Whether it grows by no more than so much an hour, as far as the samples can tell (two standard errors)."""
        return (self.slope - 2 * self.noise) * 3600 <= per_hour


def drift(samples: Sequence[tuple[float, float]]) -> Drift:
    """The Theil-Sen line through (time, value): the median of the slopes of all pairs, which outliers do not move."""
    slope = median((b - a) / (t - s) for (s, a), (t, b) in combinations(samples, 2))
    middle = median(time for time, _ in samples)
    level = median(value - slope * (time - middle) for time, value in samples)
    spread = _MAD * median(abs(value - level - slope * (time - middle)) for time, value in samples)
    length = max(time for time, _ in samples) - min(time for time, _ in samples)
    # Of a line through n points evenly spread over a length: the deviation times the root of 12 / n, by the length.
    return Drift(slope, spread * (12 / min(len(samples), _INDEPENDENT)) ** 0.5 / length, level)
