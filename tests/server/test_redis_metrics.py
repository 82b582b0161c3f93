"""What the bus over Redis says of itself on `/metrics`, and that each number moves with what it counts."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest
from prometheus_client import CollectorRegistry

from realtime.bus.base import Writer
from realtime.bus.redis import RedisBus
from realtime.events import Finished, Text
from tests.support.http import start
from tests.support.redis_server import RedisServer
from tests.support.server import serving
from tests.unit.test_bus import created, meta, visible

from .test_health import samples

_LOOK_S = 0.01


class Counted(NamedTuple):
    """A bus, and its registry."""

    bus: RedisBus
    registry: CollectorRegistry

    def value(self, name: str, **labels: str) -> float:
        """One of its numbers, as Prometheus would read it at this moment."""
        self.bus._report()
        found = self.registry.get_sample_value(f"realtime_redis_{name}", labels)
        assert found is not None, name
        return found


async def end(writer: Writer) -> None:
    """Of what another has left."""
    await writer.seal(Finished("failed"))


@asynccontextmanager
async def counted(url: str) -> AsyncIterator[Counted]:
    """One process's worth."""
    registry = CollectorRegistry()
    bus = RedisBus(url, registry=registry)
    await bus.open(end)
    try:
        yield Counted(bus, registry)
    finally:
        await bus.close()


async def until(true: Callable[[], bool]) -> None:
    """Wait for what another task does."""
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - what is counted has no event
            await asyncio.sleep(_LOOK_S)


async def test_a_server_with_redis_says_how_it_is() -> None:
    """`/metrics` has the bus's numbers beside the others, and without Redis it has none of them."""
    async with RedisServer() as redis, serving(redis_url=redis.url) as server:
        generation = await start(server.address, model="demo/default", options={"tokens": 5, "rate": 100_000})
        await server.finished(generation)
        # How it is, is noted a few times a second.
        async with asyncio.timeout(20):
            found = await samples(server)
            while (found["realtime_redis_healthy"], found["realtime_redis_buffered_bytes"]) != ({(): 1}, {(): 0}):
                found = await samples(server)
    # Five tokens and what is around them, but `started`, which is written as the log is made.
    assert found["realtime_redis_events_total"] == {(): 7}
    assert 1 <= found["realtime_redis_flush_seconds_count"][()] <= 7
    async with serving() as server:
        assert [name for name in await samples(server) if name.startswith("realtime_redis")] == []


async def test_what_is_written_is_counted() -> None:
    """Each event once, each flush with the time it took, and meanwhile the bytes that wait for it."""
    async with RedisServer() as redis, counted(redis.url) as one:
        writer = await created(one.bus, meta(1))
        assert (one.value("events_total"), one.value("flush_seconds_count")) == (1, 1)
        writer.append(Text("four"))
        assert one.value("buffered_bytes") == 4
        await visible(writer)
        await until(lambda: one.value("buffered_bytes") == 0)
        assert one.value("events_total") == 2
        assert one.value("flush_seconds_bucket", le="+Inf") == one.value("flush_seconds_count") == 2
        assert 0 < one.value("flush_seconds_sum") < 20


async def test_what_redis_has_lost_is_counted() -> None:
    """A log that is not as far as it was, and one that is not there at all, are each written again, and counted."""
    async with RedisServer() as redis, counted(redis.url) as one, redis.client() as client:
        writer = await created(one.bus, meta(1))
        base = await key(client, meta(1).generation)
        await client.xdel(f"{base}:log", "2-0")
        await client.execute_command("XSETID", f"{base}:log", "1-0")  # type: ignore[no-untyped-call]
        await client.hset(f"{base}:meta", "top", "1")
        writer.append(Text("a"))
        await visible(writer)
        assert (one.value("rewinds_total", why="gap"), one.value("rewinds_total", why="lost")) == (1, 0)
        await client.flushall()
        writer.append(Text("b"))
        await visible(writer)
        assert (one.value("rewinds_total", why="gap"), one.value("rewinds_total", why="lost")) == (1, 1)


async def key(client: object, generation: str) -> str:
    """What the keys of a generation begin with."""
    found = [name.decode() async for name in client.scan_iter(f"*{generation}:log")]  # type: ignore[attr-defined]
    return str(found[0].removesuffix(":log"))


async def test_what_another_left_is_counted() -> None:
    """Whoever takes a log over counts it, and the other does not."""
    async with (
        RedisServer() as redis,
        counted(redis.url) as one,
        counted(redis.url) as other,
        redis.client() as client,
    ):
        await created(one.bus, meta(1))
        leases = (await key(client, meta(1).generation)).rpartition(":t:")[0] + ":leases"
        member = f"t:{meta(1).generation}"
        await client.zadd(leases, {member: 0})
        await other.bus._sweep._orphaned(member)
        assert (one.value("taken_over_total"), other.value("taken_over_total")) == (0, 1)


async def test_what_nobody_told_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A comparison that finds a log behind is a repair, and one that finds nothing is none."""
    async with RedisServer() as redis, counted(redis.url) as one, counted(redis.url) as other:
        writer = await created(one.bus, meta(1))
        log = await other.bus.find("t", meta(1).generation)
        assert log is not None
        await other.bus._watch.look(asyncio.get_running_loop().time())
        assert other.value("repairs_total") == 0
        monkeypatch.setattr(other.bus._shelf, "hear", lambda _: None)
        writer.append(Text("a"))
        await visible(writer)
        await other.bus._watch.look(asyncio.get_running_loop().time())
        assert other.value("repairs_total") == 1
        async with asyncio.timeout(20):
            await log.wait(2)


async def test_a_connection_that_is_cut_is_counted() -> None:
    """While nothing is heard the bus is not healthy; the new connection is, and is one more."""
    async with RedisServer() as redis, counted(redis.url) as one, redis.client() as client:
        await until(lambda: one.value("healthy") == 1)
        assert one.value("rebuilt_total") == 0
        await client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")  # type: ignore[no-untyped-call]
        await until(lambda: one.value("healthy") == 0)
        await until(lambda: one.value("healthy") == 1)
        assert one.value("rebuilt_total") == 1
