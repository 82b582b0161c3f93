"""What every test may ask for."""

from collections.abc import Callable

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run the fault tests at their full size, which takes an hour")


@pytest.fixture(scope="session")
def amount(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """How much of something to do: the first number on every change, the second under `pytest --full`."""
    full: bool = request.config.getoption("--full")
    return lambda usual, whole: whole if full else usual
