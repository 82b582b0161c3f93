"""A log that was written here and is another's now: who reads it here is told by that one, as if it had always been so.

Nothing is compared meanwhile, so whatever is seen was told, or read because the log was lost.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from realtime.bus.base import Writer
from realtime.bus.redis import RedisBus
from realtime.bus.redis.connections import Connections
from realtime.bus.redis.keys import lane_of, told
from realtime.bus.redis.messages import Told
from realtime.bus.redis.shown import Shown, agree
from realtime.events import Text
from realtime.log import EventLog

from ..support.eventually import eventually
from .logs import DONE, Reader
from .test_bus import created, meta, no_orphan, visible
from .test_redis_forgetting import Forgetful, forgetful, keys_of

pytestmark = pytest.mark.usefixtures("unwatched")

_SOON_S = 10.0


@asynccontextmanager
async def heir_of(bus: RedisBus, redis: Forgetful) -> AsyncIterator[tuple[RedisBus, Writer]]:
    """Another process and its writer, that has replaced the one of `bus`, who does not know it yet."""
    other, orphans = RedisBus(bus._url), asyncio.Queue[Writer]()
    await other.open(orphans.put)
    for one in (bus, other):
        await one._sweep.close()
    await redis.client.zadd(keys_of(1).leases, {keys_of(1).member: 1})
    await other._sweep._orphaned(keys_of(1).member)
    yield other, await orphans.get()
    await other.close()


async def say(writer: Writer, *texts: str) -> None:
    """One text after the other, each in a round trip of its own."""
    for text in texts:
        writer.append(Text(text))
        await visible(writer)


async def find_out(writer: Writer) -> None:
    """Have a writer learn that it was replaced."""
    lost = asyncio.Event()
    writer.on_lost(lost.set)
    writer.append(Text("in vain"))
    async with asyncio.timeout(_SOON_S):
        await lost.wait()


async def nobody_listens(redis: Forgetful) -> None:
    """Wait until what is told of the log is told to nobody."""
    channel = told(lane_of(meta(1).generation))

    async def left() -> bool:
        return await redis.client.pubsub_numsub(channel) == [(channel.encode(), 0)]

    await eventually(left, "what has ended is listened for no longer")


async def same(log: EventLog, other: EventLog) -> None:
    """Wait until one log is as long as another, and see that it is the same."""
    async with asyncio.timeout(_SOON_S):
        while log.head < other.head:
            await log.wait(log.head)
    assert list(log.since(0)) == list(other.since(0))


async def test_who_has_lost_a_log_is_told_of_it() -> None:
    """Whoever reads it there sees what was said in the meantime, then what is told, and the end."""
    async with forgetful() as (bus, redis):
        writer = await created(bus, meta(1))
        async with heir_of(bus, redis) as (_, heir):
            await say(heir, "before")
            await find_out(writer)
            await same(writer.log, heir.log)
            for text in ("a", "b"):
                await say(heir, text)
                await same(writer.log, heir.log)
            assert await heir.seal(DONE) == "won"
            await same(writer.log, heir.log)
            await nobody_listens(redis)


async def test_who_had_taken_a_log_over_is_told_of_it() -> None:
    """One who had read it before, and wrote it in between, goes on as it began, and stops listening when it ends."""
    async with forgetful() as (bus, redis):
        await created(bus, meta(1))
        async with heir_of(bus, redis) as (other, second), heir_of(other, redis) as (_, third):
            await find_out(second)
            await say(third, "a")
            await same(second.log, third.log)
            assert await third.seal(DONE) == "won"
            await same(second.log, third.log)
            await nobody_listens(redis)


async def test_what_is_said_as_a_log_is_lost_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is listened to first and then read, so between the two there is nothing that is told to nobody."""
    async with forgetful() as (bus, redis):
        writer = await created(bus, meta(1))
        async with heir_of(bus, redis) as (_, heir):
            join = bus._lanes.join

            async def late(lane: int, *, events: bool = False) -> None:
                await say(heir, "meanwhile")
                await join(lane, events=events)

            monkeypatch.setattr(bus._lanes, "join", late)
            await find_out(writer)
            async with asyncio.timeout(_SOON_S):
                while writer.log.head < 3:
                    await writer.log.wait(writer.log.head)
            await same(writer.log, heir.log)


async def test_what_another_branch_says_is_not_taken_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Redis had forgotten some of it as it was taken over, whoever reads it is asked to come again at once: what
    is heard first may fit to what was shown by its number, and follows something else."""
    heard = asyncio.Event()
    async with forgetful() as (bus, redis):
        writer = await created(bus, meta(1))
        reader, hear = Reader(), bus._shelf.hear
        writer.log.attach(reader, writer.log.head)
        await redis.remember()
        await say(writer, "forgotten")
        await redis.forget()
        async with heir_of(bus, redis) as (_, heir):

            async def late(connections: Connections, shown: Shown) -> int:
                await say(heir, "more")
                async with asyncio.timeout(_SOON_S):
                    await heard.wait()
                return await agree(connections, shown)

            def note(message: Told) -> None:
                hear(message)
                heard.set()

            monkeypatch.setattr("realtime.bus.redis.shelf.agree", late)
            monkeypatch.setattr(bus._shelf, "hear", note)
            await say(heir, "instead")
            await find_out(writer)
            async with asyncio.timeout(_SOON_S):
                await reader.woken.wait()
            log = await bus.find("t", meta(1).generation)
            assert log is not None
            assert log is not writer.log
            await same(log, heir.log)


async def test_one_who_missed_the_beginning_of_a_branch_does_not_join_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is told next fits to what was shown by its number alone: where its branch began is asked first."""
    async with forgetful() as (bus, redis):
        writer, elsewhere, reader = await created(bus, meta(1)), RedisBus(bus._url), Reader()
        await elsewhere.open(no_orphan)
        await elsewhere._sweep.close()
        log = await elsewhere.find("t", meta(1).generation)
        assert log is not None
        log.attach(reader, log.head)
        await redis.remember()
        await say(writer, "forgotten")
        await same(log, writer.log)
        await redis.forget()
        async with heir_of(bus, redis) as (_, heir):
            with monkeypatch.context() as unheard:
                missed = asyncio.Event()
                unheard.setattr(elsewhere._shelf, "hear", lambda _: missed.set())
                await say(heir, "instead")
                async with asyncio.timeout(_SOON_S):
                    await missed.wait()
            await say(heir, "more")
            async with asyncio.timeout(_SOON_S):
                await reader.woken.wait()
            assert list(log.since(0)) == list(writer.log.since(0))
            found = await elsewhere.find("t", meta(1).generation)
            assert found is not None
            await same(found, heir.log)
        await elsewhere.close()
