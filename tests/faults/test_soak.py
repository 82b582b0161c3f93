"""The soak in small, and what it measures with; `python -m tests.faults.soak` is the long one."""

import math
import random
from collections.abc import Callable

import pytest

from tests.history.rows import Append, Close, Open, Received, Settled, canonical

from .drift import drift
from .inspected import Counts
from .judged import Judged
from .soaking import Plan, growing, soak

END = canonical({"type": "finished", "outcome": "completed"})
_HOUR_S = 3600.0


async def test_a_server_under_churn_is_as_before() -> None:
    """Lives of every kind on every wire: clean histories, no error logged, and at rest not a task or socket more."""
    result = await soak(Plan(minutes=0.1, lives_per_s=12, seed=random.randrange(10**6)))
    assert result.findings == []
    assert result.judged.judged > 100
    assert {"completed", "stopped", "failed"} == result.judged.outcomes.keys()
    assert result.judged.shown > result.judged.appended > 0


@pytest.mark.parametrize("slope", [0.0, 0.9, -3.0])
def test_wobble_is_no_growth(slope: float) -> None:
    """Half an hour of a figure that wobbles, and grows by less than one an hour, is not found to grow by one."""
    rng = random.Random(4)
    samples = [(at, 130 + slope * at / _HOUR_S + rng.gauss(0, 0.1)) for at in range(0, 1800, 5)]
    assert drift(samples).within(1.0)


def test_growth_is_found_under_wobble_and_spikes() -> None:
    """Two more an hour are found in half an hour, whatever a few outliers say."""
    rng = random.Random(4)
    samples = [(at, 130 + 2 * at / _HOUR_S + rng.gauss(0, 0.1)) for at in range(0, 1800, 5)]
    for spike in rng.sample(range(len(samples)), 20):
        samples[spike] = samples[spike][0], 190.0
    found = drift(samples)
    assert found.slope * _HOUR_S == pytest.approx(2, abs=0.2)
    assert not found.within(1.0)


def _resident(mib: Callable[[float], float]) -> list[tuple[float, Counts]]:
    """Half an hour of samples of a server that holds so many MiB at a time."""
    return [(at, Counts(at / 2, int(mib(at) * 2**20), 9, 20, 2, 10**6)) for at in range(0, 1800, 5)]


@pytest.mark.parametrize(
    ("mib", "said"),
    [
        (lambda _: 140.0, []),
        (lambda at: 140.0 + at / 200, ["RSS grows by 18.00"]),
        (lambda at: 140.0 + 30 * math.sin(at / 90), ["RSS swings between 110"]),
    ],
    ids=["flat", "growing", "swinging"],
)
def test_memory_that_is_not_steady_is_found(mib: Callable[[float], float], said: list[str]) -> None:
    """Growth, and a swing so wide that no growth could be told."""
    found = growing(_resident(mib))
    assert len(found) == len(said)
    assert all(finding.startswith(begins) for finding, begins in zip(found, said, strict=True))


def _history(judged: Judged) -> None:
    """A generation of two events that one observer has seen."""
    values = ["begin", END]
    for n, value in enumerate(values, 1):
        judged.wrote(Append("g", "e", n, value, terminal=n == 2))
    judged.wrote(Settled("g", "completed", 2))
    shown = [Received("o", 1, "g", "e", n, value, terminal=n == 2) for n, value in enumerate(values, 1)]
    judged.rows("g").extend([Open("o", 1, "g"), *shown, Close("o", 1, "g", "ended")])


async def test_what_was_judged_is_let_go() -> None:
    """A clean generation leaves nothing behind; a row that comes for it afterwards is a finding."""
    judged = Judged()
    _history(judged)
    await judged.over("g")
    judged.close()
    assert (judged.findings, judged.judged, judged.appended, judged.shown) == ([], 1, 2, 2)
    judged.wrote(Settled("g", "completed", 2))
    assert len(judged.findings) == 1


async def test_what_is_wrong_is_said() -> None:
    """An anomaly of a history is a finding, and so is a generation that nobody had judged."""
    judged = Judged()
    _history(judged)
    judged.rows("g").append(Received("o", 1, "g", "e", 2, END, terminal=True))
    await judged.over("g")
    assert "duplicate" in judged.findings[0]
    judged.rows("other").append(Open("o", 1, "other"))
    judged.close()
    assert "never judged" in judged.findings[-1]
