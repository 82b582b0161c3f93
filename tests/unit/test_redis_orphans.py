"""Logs whose writer is gone, and who reads them as they are taken over."""

import asyncio

from realtime.bus.base import Writer
from realtime.bus.redis import RedisBus
from realtime.bus.redis.keys import log_keys
from realtime.events import Finished
from realtime.log import EventLog

from ..support.redis_server import RedisServer
from .test_bus import created, meta, no_orphan

_COUNT = 20
_SOON_S = 10.0


async def end(writer: Writer) -> None:
    """As the sessions end what was left behind."""
    assert await writer.seal(Finished("failed")) == "won"


async def test_whoever_comes_as_a_log_is_taken_over_is_told_of_its_end() -> None:
    """A reader and the one who ends the log look for it at the same moment, and have the same copy of it."""
    async with RedisServer() as server:
        dead, other, client = RedisBus(server.url), RedisBus(server.url), server.client()
        await dead.open(no_orphan)
        await other.open(end)
        logs = [(await created(dead, meta(number))).log for number in range(_COUNT)]
        await dead._flushers.close()
        await dead._sweep.close()

        async def both(generation: str) -> EventLog | None:
            keys = log_keys("t", generation)
            await client.zadd(keys.leases, {keys.member: 1})
            found, _ = await asyncio.gather(other.find("t", generation), other._sweep._orphaned(keys.member))
            return found

        async with asyncio.timeout(_SOON_S):
            for found in await asyncio.gather(*(both(log.meta.generation) for log in logs)):
                assert found is not None
                while found.finished is None:
                    await found.wait(found.head)
        await dead.close()
        await other.close()
        await client.aclose()
