"""What tokens cost: every token once, at its own price."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.events import Usage
from realtime.prices import Prices

COUNTS = st.integers(0, 10**7)


def test_each_kind_of_token_has_its_price() -> None:
    """Cached and cache-writing tokens are part of the input, and are not paid for twice."""
    prices = Prices(input=2.0, output=10.0, cached_input=0.5, cache_write_input=2.5)
    usage = Usage(1_000_000, 100_000, cached_input_tokens=600_000, cache_write_input_tokens=100_000)
    assert prices.cost(usage) == pytest.approx(0.3 * 2 + 0.6 * 0.5 + 0.1 * 2.5 + 0.1 * 10)


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_without_a_price_of_their_own_they_cost_what_input_costs(
    inputs: int, output: int, cached: int, made: int
) -> None:
    """Where input holds them, as it does."""
    prices = Prices(input=3.0, output=15.0)
    usage = Usage(inputs + cached + made, output, cached_input_tokens=cached, cache_write_input_tokens=made)
    assert prices.cost(usage) == pytest.approx(((inputs + cached + made) * 3 + output * 15) / 1e6)
