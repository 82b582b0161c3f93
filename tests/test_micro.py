"""No step of a token's path costs more than it did, beside what it replaces; see `benchmarks/regression.py`."""

from benchmarks.regression import ALLOWANCE, recorded, regressions, steps
from benchmarks.steps import Step
from benchmarks.timing import Comparison

# Half as much again must be found; on a machine where more is allowed, as much more.
_SLOWER = 1.5 / ALLOWANCE


def test_no_step_costs_more_than_it_did() -> None:
    """Each step's ratio to its baseline, timed in turn with it, is within what was recorded and the allowance."""
    assert regressions(steps(), recorded()) == []


def test_every_step_is_recorded() -> None:
    """A step that is renamed or new has no limit until it is recorded, and none is kept for one that is gone."""
    ours = {f"{name}: {case}" for name, _, cases in steps() for case in cases if case.startswith("ours")}
    assert ours == recorded().ratios.keys()


def test_a_step_that_costs_half_as_much_again_is_found() -> None:
    """Each of our steps, made slower by that much, is over its limit."""
    limits = recorded()
    by = _SLOWER * limits.allowance
    slower = [_slowed(comparison, by) for comparison in steps()]
    assert {regression.step for regression in regressions(slower, limits, 0.1)} == limits.ratios.keys()


def _slowed(comparison: Comparison, by: float) -> Comparison:
    """Ours do less in the same time."""

    def slow(step: Step) -> Step:
        return lambda: step() / by

    return comparison._replace(
        steps={case: slow(step) if case.startswith("ours") else step for case, step in comparison.steps.items()}
    )
