"""A Redis without room, and one that does not answer: what may still be written, and how long an end waits."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis.asyncio as aioredis

from realtime.bus.base import Claim, Writer
from realtime.bus.redis import RedisBus
from realtime.bus.redis.keys import lane_of, leases, log_keys
from realtime.errors import RealtimeError
from realtime.events import Finished, Text

from ..support.eventually import eventually
from ..support.redis_server import RedisServer
from .logs import DONE, Reader
from .test_bus import created, meta, no_orphan, visible

_FAILED = Finished("failed", error=RealtimeError("bus_full").error)


@asynccontextmanager
async def bus_and_client() -> AsyncIterator[tuple[RedisBus, "aioredis.Redis"]]:
    """A bus, and a client that can take its room away."""
    async with RedisServer() as server:
        client, bus = server.client(), RedisBus(server.url)
        await bus.open(no_orphan)
        try:
            yield bus, client
        finally:
            await bus.close()
            await client.aclose()


async def room(client: "aioredis.Redis", *, some: bool) -> None:
    """Give Redis room, or none."""
    await client.config_set("maxmemory", "0" if some else "1")


@asynccontextmanager
async def full() -> AsyncIterator[tuple[RedisBus, "aioredis.Redis", Writer]]:
    """The same, and a writer that finds no room for what it is to write."""
    async with bus_and_client() as (bus, client):
        writer = await created(bus, meta(1))
        await room(client, some=False)
        yield bus, client, writer


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room is not waited for as long as it is."""
    monkeypatch.setattr("realtime.bus.redis.refusals._FULL_S", 1.0)


async def refused(writer: Writer) -> None:
    """Say something again and again, until nothing more is taken."""

    async def look() -> bool:
        try:
            writer.append(Text("x" * 1000))
        except RealtimeError as error:
            return error.code == "bus_full"
        return False

    await eventually(look, "what is said is refused")


async def test_starts_are_refused_and_say_when_to_come_again() -> None:
    """`bus_full`, with a time, and nothing is left of the attempt."""
    async with bus_and_client() as (bus, client):
        await created(bus, meta(1))
        await room(client, some=False)
        with pytest.raises(RealtimeError) as caught:
            await bus.create(meta(2), Claim("key", b"body"))
        assert (caught.value.code, caught.value.error.retry_after_s) == ("bus_full", 5)
        await room(client, some=True)
        assert [log.meta for log in (await bus.page("t", None, None, 9)).logs] == [meta(1)]
        await created(bus, meta(2), Claim("key", b"body"))


async def test_it_goes_on_when_there_is_room_again() -> None:
    """What was refused for a moment is written afterwards, in order."""
    async with full() as (_, client, writer):
        for number in range(5):
            writer.append(Text(f"{number} "))
        before = writer.log.head
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await writer.log.wait(before)
        await room(client, some=True)
        await visible(writer)
        assert await writer.seal(DONE) == "won"


async def test_an_end_is_let_in_with_what_comes_right_before_it() -> None:
    """Who ends while there is no room ends whole, if what is left to say is little."""
    async with full() as (_, _, writer):
        writer.append(Text("more"))
        async with asyncio.timeout(10):
            assert await writer.seal(DONE) == "won"
        assert [entry.event for entry in writer.log.since(2)] == [Text("more"), DONE]


@pytest.mark.usefixtures("impatient")
async def test_what_has_no_room_for_long_ends_as_that() -> None:
    """After a while nothing more is taken; a large rest is dropped, and the log is ended without it."""
    async with full() as (bus, _, writer):
        for _ in range(100):
            writer.append(Text("x" * 1000))
        await refused(writer)
        async with asyncio.timeout(10):
            with pytest.raises(RealtimeError) as caught:
                await writer.seal(DONE)
            assert caught.value.code == "bus_full"
            assert await writer.seal(_FAILED) == "won"
        assert [entry.event for entry in writer.log.since(2)] == [_FAILED]
        log = await bus.find("t", meta(1).generation)
        assert log is writer.log


@pytest.mark.usefixtures("impatient")
async def test_who_waits_for_room_is_told() -> None:
    """A provider that is read no further is given up, not left waiting."""
    async with full() as (_, _, writer):
        for _ in range(11):
            writer.append(Text("x" * 100_000))
        waiting = writer.room()
        assert waiting is not None
        with pytest.raises(RealtimeError) as caught:
            async with asyncio.timeout(10):
                await waiting
        assert caught.value.code == "bus_full"


async def test_leases_and_stops_need_no_room() -> None:
    """Who lives stays alive, with something to say that is refused; and can be stopped."""
    async with full() as (bus, client, writer):
        writer.append(Text("more"))
        keys = log_keys("t", meta(1).generation)

        async def lease() -> float:
            until: Any = await client.zscore(leases(lane_of(meta(1).generation)), keys.member)
            return float(until)

        first = await lease()

        async def renewed() -> bool:
            writer.append(Text("more"))
            return await lease() > first

        await eventually(renewed, "the lease is renewed")
        await bus.stop("t", meta(1).generation, "owner")
        assert writer.stop_requested == "owner"
        assert await client.hget(keys.meta, "stop") == b"owner"


async def test_an_end_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Redis does not answer for long the session is let go, who reads here is asked to come again, and when Redis
    is back the log is ended like one whose process has died."""
    monkeypatch.setattr("realtime.bus.redis.writer.SEAL_S", 1.0)
    async with RedisServer("--appendonly", "yes", "--appendfsync", "always") as server:
        bus, orphans = RedisBus(server.url), asyncio.Queue[Writer]()
        await bus.open(orphans.put)
        writer = await created(bus, meta(1))
        reader = Reader()
        writer.log.attach(reader, writer.log.head)
        await server.kill()
        writer.append(Text("never seen"))
        assert await writer.seal(DONE) == "fenced"
        async with asyncio.timeout(20):
            await reader.woken.wait()
        writer.log.detach(reader)
        await server.start()
        async with asyncio.timeout(30):
            orphan = await orphans.get()
        assert await orphan.seal(_FAILED) == "won"
        assert await writer.seal(DONE) == "fenced"
        found = await bus.find("t", meta(1).generation)
        assert found is not None
        assert found.finished == _FAILED
        await bus.close()
