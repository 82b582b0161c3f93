"""What tests of providers have in common."""

from collections.abc import AsyncIterator

import pytest

from ..upstream import Upstream


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """A model API of a test's own."""
    async with Upstream() as server:
        yield server
