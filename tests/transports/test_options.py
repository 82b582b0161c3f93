"""How an observer asks to be served: what is read, what is refused by name, and the bucket's arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.cursor import Cursor
from realtime.errors import RealtimeError
from transports.options import MAX_FLUSH_MS, MAX_RATE, Bucket, ObserveOptions, read_options

from .strategies import relaxed


def test_nothing_asked_for_is_everything_as_it_comes() -> None:
    """The defaults: from the beginning, event by event, at once."""
    options = read_options({}, None)
    assert options == ObserveOptions(after=None, replay=None, view=None, pace=None, flush_ms=0)
    assert (options.cursor(), options.bucket()) == (None, None)


def test_every_option_is_read() -> None:
    """From a query string, where all values are text."""
    query = {"after": "e-3", "replay": "merged", "view": "json", "pace": "20,5", "flush_ms": "50"}
    options = read_options(query, None)
    assert options == ObserveOptions("e-3", "merged", "json", "20,5", 50)
    assert options.cursor() == Cursor("e", 3)


@pytest.mark.parametrize(("header", "cursor"), [("e-7", "e-7"), ("", "e-3"), (None, "e-3")])
def test_last_event_id_wins_over_after(header: str | None, cursor: str) -> None:
    """A browser sends it by itself; an empty one says that it has none."""
    assert str(read_options({"after": "e-3"}, header).cursor()) == cursor


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("replay", "all"),
        ("replay", ""),
        ("view", "xml"),
        ("pace", ""),
        ("pace", "0"),
        ("pace", "-1"),
        ("pace", "1.5"),
        ("pace", "ten"),
        ("pace", "10001"),
        ("pace", "٣"),
        ("pace", "5,"),
        ("pace", ",5"),
        ("pace", "5,0"),
        ("pace", "5,10001"),
        ("pace", "5,5,5"),
        ("pace", "1" * 5000),
        ("flush_ms", ""),
        ("flush_ms", "-1"),
        ("flush_ms", "1e3"),
        ("flush_ms", "10001"),
        ("flush_ms", "٣"),
        ("flush_ms", "1" * 5000),
        ("colour", "red"),
    ],
)
def test_a_refusal_names_the_parameter(name: str, value: str) -> None:
    """And says so in a sentence that quotes nothing."""
    with pytest.raises(RealtimeError) as caught:
        read_options({name: value}, None)
    assert (caught.value.code, caught.value.error.field) == ("bad_request", name)
    assert len(caught.value.error.message) < 200


@pytest.mark.parametrize("name", ["pace", "flush_ms"])
def test_a_number_over_its_limit_is_told_the_limit(name: str) -> None:
    """So that a caller can correct itself."""
    with pytest.raises(RealtimeError) as caught:
        read_options({name: "99999"}, None)
    assert caught.value.error.limit == {"pace": MAX_RATE, "flush_ms": MAX_FLUSH_MS}[name] == 10_000


@pytest.mark.parametrize(("after", "header"), [("x", None), ("", None), ("e-01", None), (None, "x"), ("e-1", "e-1\n")])
def test_a_cursor_that_is_none_is_refused(after: str | None, header: str | None) -> None:
    """Whichever way it came, and also where the other one would do."""
    with pytest.raises(RealtimeError, match="bad_cursor"):
        read_options({} if after is None else {"after": after}, header)


@pytest.mark.parametrize(("pace", "burst"), [("1", 1), ("10000", 1), ("5,3", 3), ("5,10000", 10_000)])
def test_a_burst_goes_at_once(pace: str, burst: int) -> None:
    """One delta unless more are asked for; then the rate."""
    bucket = ObserveOptions(pace=pace).bucket()
    assert bucket is not None
    assert bucket.take(100.0, 1_000_000) == (burst, 0.0)
    rate = int(pace.partition(",")[0])
    assert bucket.take(100.0, 1) == pytest.approx((0, 1 / rate))


@pytest.mark.parametrize("start_s", [0.0, 1.0, 1e6])
def test_it_fills_at_its_rate_from_whenever_its_clock_begins(start_s: float) -> None:
    """A tenth of a second at 20 a second is two; idle for long it holds its burst and no more."""
    bucket = Bucket(20, 5)
    assert bucket.take(start_s, 9) == (5, 0.0)
    assert bucket.take(start_s + 0.025, 9) == pytest.approx((0, 0.025))
    assert bucket.take(start_s + 0.1251, 9) == (2, 0.0)
    assert bucket.take(start_s + 60, 3) == (3, 0.0)
    assert bucket.take(start_s + 60, 9) == (2, 0.0)
    assert bucket.take(start_s + 120, 9) == (5, 0.0)


def test_wanting_nothing_costs_nothing() -> None:
    """What is not taken is still there."""
    bucket = Bucket(1, 2)
    assert bucket.take(5.0, 0)[0] == 0
    assert bucket.take(5.0, 2) == (2, 0.0)


@relaxed
@given(
    rate=st.integers(1, 50),
    burst=st.integers(1, 20),
    steps=st.lists(st.tuples(st.floats(0, 3), st.integers(1, 30)), max_size=40),
)
def test_never_more_than_burst_and_rate_allow(rate: int, burst: int, steps: list[tuple[float, int]]) -> None:
    """In any time from any take on; and who waits as long as it was told gets one."""
    bucket, now_s = Bucket(rate, burst), 10.0
    taken = 0
    for pause_s, wanted in steps:
        now_s += pause_s
        allowed, wait_s = bucket.take(now_s, wanted)
        assert allowed <= min(wanted, burst)
        if not allowed:
            assert 0 < wait_s <= 1 / rate
            now_s += wait_s + 1e-6
            allowed = bucket.take(now_s, 1)[0]
            assert allowed == 1
        taken += allowed
        assert taken <= burst + (now_s - 10) * rate + 1e-3
