"""The same cases several times in turn, and what can be said of them together.

A machine that gets busier gets busier for all cases of a round, so ratios are made within a round and their median is
taken; latencies of all rounds are merged and never averaged.
"""

import statistics
from collections.abc import Callable, Collection, Mapping, Sequence

from .environments import NotInstalledError
from .load import Observed
from .native import is_native
from .plan import Plan
from .report import Figure, Row, percentile

# Beyond it the server was not alone on its core: latencies are the machine's, and tokens that are late together go out
# as one write, which makes a server look cheaper than it is.
_NOISY = 0.05
_SATURATED = 0.95
# Beyond it latencies may be the client's own.
_CLIENT_BUSY = 0.9


class Runs:
    """What one case showed, round by round; nothing where its server is not installed."""

    def __init__(self, seen: Sequence[Observed]) -> None:
        self._seen = seen

    def median(self, figure: Callable[[Observed], float]) -> float:
        return statistics.median(map(figure, self._seen))

    def about(self) -> dict[str, Figure]:
        """What tells how far to believe the other figures."""
        return {
            "tokens/read": self.median(lambda one: one.tokens / max(one.reads, 1)),
            "RSS MB": self.median(lambda one: one.resident_mb),
            "server busy %": 100 * self.median(lambda one: one.busy),
            "waited %": 100 * self.median(lambda one: one.waited),
            "client busy %": 100 * self.median(lambda one: one.client_busy),
        }

    @property
    def installed(self) -> bool:
        return bool(self._seen)

    @property
    def saturated(self) -> bool:
        """Whether the server had no more of its core to take."""
        return self._beyond(lambda one: one.busy + one.waited, _SATURATED)

    @property
    def client_bound(self) -> bool:
        """Whether the client was what was measured."""
        return self._beyond(lambda one: one.client_busy + one.client_waited, _CLIENT_BUSY)

    @property
    def noisy(self) -> bool:
        """Whether other processes had the server's core."""
        return self._beyond(lambda one: one.waited, _NOISY)

    def _beyond(self, figure: Callable[[Observed], float], bound: float) -> bool:
        return self.installed and self.median(figure) > bound

    def share(self, due_per_s: float) -> float:
        """Delivered, of what was due."""
        return self.median(lambda one: one.rate / due_per_s)

    def cost_us(self) -> float:
        """CPU per delivered token."""
        return self.median(lambda one: one.cpu_per_token_us)

    def ratio(self, baseline: "Runs") -> float:
        """The cost of a token over that of the baseline."""
        # One of the two may have been in the first round alone.
        pairs = zip(self._seen, baseline._seen, strict=False)
        return statistics.median(one.cpu_per_token_us / other.cpu_per_token_us for one, other in pairs)

    def age_ms(self, share: float) -> float:
        """Under which that share of the tokens came."""
        return percentile(_merged([one.ages for one in self._seen]), share)

    def first_ms(self, share: float) -> float:
        """Under which that share of the first tokens came, from the request on."""
        return percentile(_merged([one.firsts for one in self._seen]), share)


def take_turns(
    name: str, cases: Mapping[str, Callable[[], Observed]], plan: Plan, *, once: Collection[str] = ()
) -> dict[str, Runs]:
    """Every case once a round, but those that only set the scene: they are in the first round alone."""
    seen: dict[str, list[Observed]] = {case: [] for case in cases}
    for n in range(plan.rounds):
        for case, run in cases.items():
            if n and case in once:
                continue
            plan.say(f"{name}: {case}")
            try:
                seen[case].append(run())
            except NotInstalledError as error:
                plan.say(f"not installed: {error}")
    return {case: Runs(observed) for case, observed in seen.items()}


def rows(runs: Mapping[str, Runs], baseline: Runs, figures: Callable[[Runs], dict[str, Figure]]) -> list[Row]:
    """A row for every case."""
    return [
        Row(case, one.ratio(baseline), figures(one))
        if one.installed
        else Row(case, None, {"delivered %": "not installed"})
        for case, one in runs.items()
    ]


def warnings(runs: Mapping[str, Runs]) -> list[str]:
    """Notes on the cases that were disturbed, at their end or missing, and on a slow client."""

    def which(true: Callable[[Runs], bool]) -> str:
        return ", ".join(case for case, one in runs.items() if true(one))

    notes = {
        f"NOISY: over {_NOISY:.0%} of the window was spent waiting for the core in": which(lambda one: one.noisy),
        "CLIENT-BOUND: the load client had no core left in": which(lambda one: one.client_bound),
        "Saturated, with no more of the core to take:": which(lambda one: one.saturated),
        "Not installed (`sh benchmarks/peers.sh` does that):": which(lambda one: not one.installed),
    }
    slow = "" if is_native() else "The load client is the one in Python, which is slower: no C compiler was found."
    return [*(f"{note} {cases}." for note, cases in notes.items() if cases), *filter(None, [slow])]


def _merged(counts: Sequence[Mapping[int, int]]) -> dict[int, int]:
    merged: dict[int, int] = {}
    for one in counts:
        for bucket, count in one.items():
            merged[bucket] = merged.get(bucket, 0) + count
    return merged
