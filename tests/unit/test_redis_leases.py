"""Who keeps a lease in Redis."""

import asyncio
from contextlib import suppress

from realtime.bus.base import Writer
from realtime.bus.redis import RedisBus
from realtime.bus.redis.keys import log_keys
from realtime.bus.redis.lease import LEASE_S
from realtime.events import Text

from ..support.redis_server import RedisServer
from .test_bus import created, meta, no_orphan


async def talk(writer: Writer) -> None:
    """Say something again and again."""
    while True:
        writer.append(Text("a"))
        await asyncio.sleep(0.05)


async def test_one_that_says_nothing_keeps_its_lease_beside_one_that_talks() -> None:
    """A model that thinks for minutes is not taken for lost because others in its process are busy."""
    async with RedisServer() as server:
        bus, client = RedisBus(server.url), server.client()
        await bus.open(no_orphan)
        silent, talking = await created(bus, meta(1)), await created(bus, meta(2))
        keys = log_keys("t", silent.log.meta.generation)
        first = await client.zscore(keys.leases, keys.member)
        busy = asyncio.create_task(talk(talking))
        async with asyncio.timeout(LEASE_S - 1):
            while await client.zscore(keys.leases, keys.member) == first:  # noqa: ASYNC110 - Redis has no event for it
                await asyncio.sleep(0.05)
        busy.cancel()
        with suppress(asyncio.CancelledError):
            await busy
        await bus.close()
        await client.aclose()
