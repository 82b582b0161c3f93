"""What a generation takes of Redis's memory is what the documentation says."""

from pathlib import Path

import pytest
import redis

from benchmarks.redis_memory import BATCH_BYTES, EVENT_BYTES, FIXED_BYTES, Size, formula_bytes, measured_bytes

from ..support.redis_server import RedisServer

_FACTOR = 1.5


@pytest.mark.parametrize("size", [Size(0, 0, 0), Size(100, 1, 5), Size(25, 8, 40)])
async def test_a_generation_takes_what_the_formula_says(size: Size) -> None:
    """Whatever its size, by no more than half as much again, and by no less."""
    async with RedisServer() as server:
        with redis.Redis(port=server.port) as client:
            measured = await measured_bytes(client, server.url, size)
    assert 1 / _FACTOR < measured / formula_bytes(size) < _FACTOR


def test_the_formula_is_the_documented_one() -> None:
    """The page has the same numbers."""
    page = (Path(__file__).parents[2] / "docs" / "redis.md").read_text()
    parts = f"{FIXED_BYTES:,} B", f"{BATCH_BYTES} B for each flush", f"{EVENT_BYTES} B and its text for each event"
    assert all(part in page for part in parts)
