"""Fixtures of the server's tests."""

import logging
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.support.server import RunningServer, serving


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    """One server for all tests of a module that leave it as they found it."""
    async with serving(max_prompt_chars=1000) as running:
        yield running


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Holds a test to logging nothing above a warning: what a client does wrong is no error of the server."""
    yield
    assert [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR] == []
