"""What is told in Redis: heard by those who show a log, not by who writes it, and read no further than that needs."""

import asyncio

import pytest

from realtime.bus.redis.keys import lane_of, told
from realtime.events import Text

from ..support.redis_server import RedisServer
from .test_bus import created, meta, visible
from .test_redis_links import two_buses


async def test_who_writes_a_log_does_not_hear_it() -> None:
    """Its events are listened to once another process shows it, by that one alone."""
    async with RedisServer() as server, two_buses(server.url) as (one, other), server.client() as client:
        await created(one, meta(1))
        channel = told(lane_of(meta(1).generation))
        assert await client.pubsub_numsub(channel) == [(channel.encode(), 0)]
        log = await other.find("t", meta(1).generation)
        assert log is not None
        assert await client.pubsub_numsub(channel) == [(channel.encode(), 1)]
        assert await one.find("t", meta(1).generation) is not None
        assert await client.pubsub_numsub(channel) == [(channel.encode(), 1)]


async def test_what_cannot_be_read_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Of a log that is shown it is said that a message made no sense, of any other it is not looked at; and the next
    one is heard."""
    async with RedisServer() as server, two_buses(server.url) as (one, other), server.client() as client:
        writer = await created(one, meta(1))
        log = await other.find("t", meta(1).generation)
        assert log is not None
        channel = told(lane_of(meta(1).generation))
        await client.publish(channel, b"%032x1 nonsense" % 2)
        await client.publish(channel, b"%032x1 nonsense" % 1)
        writer.append(Text("a"))
        await visible(writer)
        async with asyncio.timeout(20):
            await log.wait(2)
    assert [record.message for record in caplog.records] == ["redis: a message of 42 bytes cannot be read"]
