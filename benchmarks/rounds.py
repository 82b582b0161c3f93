"""The same cases several times in turn, and what can be said of them together.

A machine that gets busier gets busier for all cases of a round, so ratios are made within a round and their median is
taken; latencies of all rounds are merged and never averaged.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence

from .load import Observed
from .plan import Plan
from .report import Figure, percentile

# Beyond it the server was not alone on its core: latencies are the machine's, and tokens that are late together go out
# as one write, which makes a server look cheaper than it is.
_NOISY = 0.05


class Runs:
    """What one case showed, round by round."""

    def __init__(self, seen: Sequence[Observed]) -> None:
        self._seen = seen

    def median(self, figure: Callable[[Observed], float]) -> float:
        return statistics.median(map(figure, self._seen))

    def about(self) -> dict[str, Figure]:
        """What tells how far to believe the other figures."""
        return {
            "tokens/read": self.median(lambda one: one.tokens / max(one.reads, 1)),
            "RSS MB": self.median(lambda one: one.resident_mb),
            "waited %": 100 * self.median(lambda one: one.waited),
            "client busy %": 100 * self.median(lambda one: one.client_busy),
        }

    @property
    def noisy(self) -> bool:
        """Whether other processes had the server's core."""
        return self.median(lambda one: one.waited) > _NOISY

    def share(self, due_per_s: float) -> float:
        """Delivered, of what was due."""
        return self.median(lambda one: one.rate / due_per_s)

    def cost_us(self) -> float:
        """CPU per delivered token."""
        return self.median(lambda one: one.cpu_per_token_us)

    def ratio(self, baseline: "Runs") -> float:
        """The cost of a token over that of the baseline."""
        pairs = zip(self._seen, baseline._seen, strict=True)
        return statistics.median(one.cpu_per_token_us / other.cpu_per_token_us for one, other in pairs)

    def age_ms(self, share: float) -> float:
        """Under which that share of the tokens came."""
        return percentile(_merged([one.ages for one in self._seen]), share)

    def first_ms(self, share: float) -> float:
        """Under which that share of the first tokens came, from the request on."""
        return percentile(_merged([one.firsts for one in self._seen]), share)


def take_turns(name: str, cases: Mapping[str, Callable[[], Observed]], plan: Plan) -> dict[str, Runs]:
    """Every case once a round."""
    seen: dict[str, list[Observed]] = {case: [] for case in cases}
    for _ in range(plan.rounds):
        for case, run in cases.items():
            plan.say(f"{name}: {case}")
            seen[case].append(run())
    return {case: Runs(observed) for case, observed in seen.items()}


def warnings(runs: Mapping[str, Runs]) -> list[str]:
    """A note on the cases that other processes disturbed."""
    noisy = [case for case, one in runs.items() if one.noisy]
    return (
        [f"NOISY: over {_NOISY:.0%} of the window was spent waiting for the core in {', '.join(noisy)}."]
        if noisy
        else []
    )


def _merged(counts: Sequence[Mapping[int, int]]) -> dict[int, int]:
    merged: dict[int, int] = {}
    for one in counts:
        for bucket, count in one.items():
            merged[bucket] = merged.get(bucket, 0) + count
    return merged
