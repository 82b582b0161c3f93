"""A circuit opens after failures in a row, lets one through after a pause, and closes when that one succeeds."""

from hypothesis import given
from hypothesis import strategies as st

from realtime.breaker import Breaker, BreakerRules

RULES = BreakerRules(failures=3, pause_s=10, longest_pause_s=35)


class Clock:
    """A time that a test sets."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def make() -> tuple[Breaker, Clock]:
    clock = Clock()
    return Breaker(RULES, now=clock, rand=lambda: 1.0), clock


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        breaker.let_through()
        breaker.failed()


def test_failures_in_a_row_open_it() -> None:
    """A success between them begins the count again."""
    breaker, _ = make()
    fail(breaker, 2)
    breaker.let_through()
    breaker.succeeded()
    fail(breaker, 2)
    assert breaker.admits
    fail(breaker, 1)
    assert (breaker.circuit, breaker.admits, breaker.opens_in_s) == ("open", False, 10)


def test_one_probe_at_a_time() -> None:
    """After the pause one is let through, and nobody else until it is known how that went."""
    breaker, clock = make()
    fail(breaker, 3)
    clock.now_s += 10
    seen = [(breaker.circuit, breaker.admits)]
    for step in (breaker.let_through, breaker.abandoned, breaker.let_through, breaker.succeeded):
        step()
        seen.append((breaker.circuit, breaker.admits))
    assert [admits for _, admits in seen] == [True, False, True, False, True]
    assert [circuit for circuit, _ in seen] == ["probing"] * 4 + ["closed"]


def test_each_failed_probe_doubles_the_pause() -> None:
    """Up to the longest; and a success forgets them all."""
    breaker, clock = make()
    fail(breaker, 3)
    pauses = []
    for _ in range(4):
        pauses.append(breaker.opens_in_s)
        clock.now_s += breaker.opens_in_s
        fail(breaker, 1)
    assert pauses == [10, 20, 35, 35]
    clock.now_s += 35
    breaker.succeeded()
    fail(breaker, 3)
    assert breaker.opens_in_s == 10


def test_late_failures_do_not_prolong_a_pause() -> None:
    """Those that were let through before it opened fail afterwards, and say nothing new."""
    breaker, clock = make()
    for _ in range(10):
        breaker.let_through()
    for _ in range(3):
        breaker.failed()
    clock.now_s += 4
    breaker.failed()
    assert breaker.opens_in_s == 6


def test_a_provider_can_ask_for_a_pause() -> None:
    """A retry-after opens the circuit at the first, for as long as it said."""
    breaker, clock = make()
    breaker.let_through()
    breaker.pause(7)
    assert breaker.opens_in_s == 7
    clock.now_s += 7
    assert breaker.admits


def test_a_probe_that_is_asked_for_a_pause() -> None:
    """It is over, so that another one is let through after that pause."""
    breaker, clock = make()
    for _ in range(3):
        breaker.let_through()
        breaker.pause(7)
        assert not breaker.admits
        clock.now_s += 7
        assert breaker.admits


@given(st.lists(st.sampled_from(["go", "ok", "fail", "pause", "leave", "wait"]), max_size=60))
def test_it_never_stays_closed_to_everyone(steps: list[str]) -> None:
    """Whatever happened, after its longest pause somebody is let through, once nobody is on the way."""
    breaker, clock = make()
    for step in steps:
        match step:
            case "go" if breaker.admits:
                breaker.let_through()
            case "ok":
                breaker.succeeded()
            case "fail":
                breaker.failed()
            case "pause":
                breaker.pause(7)
            case "leave":
                breaker.abandoned()
            case _:
                clock.now_s += 3
    clock.now_s += RULES.longest_pause_s
    breaker.abandoned()
    assert breaker.admits
