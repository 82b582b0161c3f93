"""When the client tries again, and when it no longer does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.client.backoff import Backoff, Patience
from transports.client.errors import DroppedError, UnreachableError


class Clock:
    """Time that moves when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def patience(clock: Clock, jitter: float = 0.5) -> Patience:
    """A patience of a minute, starting with a second."""
    return Patience(Backoff(1.0, 15.0), give_up_s=60.0, clock=clock, random=lambda: jitter)


def test_windows_double() -> None:
    """Windows double up to the cap and stay there."""
    backoff = Backoff(base_s=1.0, cap_s=15.0)
    assert [backoff.window_s(n) for n in (1, 2, 3, 4, 5, 5000)] == [1, 2, 4, 8, 15, 15]
    assert backoff.window_s(2, base_s=3.0) == 6


@given(failures=st.integers(1, 10_000), jitter=st.floats(0, 1, exclude_max=True))
def test_full_jitter(failures: int, jitter: float) -> None:
    """A wait is anywhere in the window, from its very beginning."""
    window_s = Backoff(1.0, 15.0).window_s(failures)
    assert 0 <= jitter * window_s < window_s <= 15


def test_progress_starts_over() -> None:
    """A connection that was of use makes the next failure the first one."""
    clock = Clock()
    waits = patience(clock)
    drop = DroppedError("x")
    assert [waits.wait_s(drop), waits.wait_s(drop), waits.wait_s(drop)] == [0.5, 1, 2]
    clock.now_s += 59
    assert waits.wait_s(drop, progress=True) == 0.5
    clock.now_s += 59
    assert waits.wait_s(drop) == 1


def test_server_wish_is_the_least() -> None:
    """What the server asked for is waited in full, with the jitter on top."""
    assert patience(Clock()).wait_s(DroppedError("bye", wait_s=7.0)) == 7.5


def test_retry_is_the_first_window() -> None:
    """SSE's reconnection time takes the place of the first window."""
    assert patience(Clock()).wait_s(DroppedError("x"), base_s=3.0) == 1.5


def test_last_try_is_at_the_end() -> None:
    """The last wait is cut to what is left, and after it there is none."""
    clock = Clock()
    waits = patience(clock)
    waits.wait_s(DroppedError("x"))
    clock.now_s += 59.75
    assert waits.wait_s(DroppedError("x")) == 0.25
    clock.now_s += 0.25
    with pytest.raises(UnreachableError, match="gave up after 60 s: refused"):
        waits.wait_s(DroppedError("refused"))
    assert repr(waits) == "<Patience failures=3>"


def test_wish_beyond_the_end() -> None:
    """A server that wants to be left alone for longer than we have is given up at once."""
    with pytest.raises(UnreachableError):
        patience(Clock()).wait_s(DroppedError("bye", wait_s=61.0))
