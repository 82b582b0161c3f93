"""Two servers and the Redis between them, in the test's own loop: what is asked of one is seen in the other."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from .redis_server import RedisServer
from .server import RunningServer, serving


class Pair(NamedTuple):
    """Two servers, and their Redis."""

    redis: RedisServer
    one: RunningServer
    other: RunningServer


@asynccontextmanager
async def paired(redis: RedisServer, url: str | None = None, **settings: Any) -> AsyncIterator[Pair]:
    """Run two servers with these settings until the block is left.

    Args:
        url: How they reach the Redis; by default as anyone may.
    """
    asked = {"redis_url": url or redis.url, **settings}
    async with serving(**asked) as one, serving(**asked) as other:
        yield Pair(redis, one, other)
