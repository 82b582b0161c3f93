"""What Redis forgets while its writer lives is written again, ends too; what was to be forgotten stays so."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis.asyncio as aioredis

from realtime.bus.base import Writer
from realtime.bus.redis import RedisBus
from realtime.bus.redis.keys import LogKeys, lane_of, leases, log_keys
from realtime.bus.redis.shelf import Shelf
from realtime.bus.redis.writer import RedisWriter
from realtime.bus.retention import Retention
from realtime.events import Text
from realtime.log import EventLog, Meta

from ..support.eventually import eventually
from ..support.redis_server import RedisServer
from .logs import DONE, Reader
from .test_bus import created, meta, no_orphan, visible

# A look at what has ended, for tests that wait for one.
_SOON_S = 0.5
# Less than one waits without a word.
_AT_ONCE_S = 6.0


class Forgetful:
    """A Redis that can be made to forget what came after some moment, as a failover does."""

    def __init__(self, client: "aioredis.Redis") -> None:
        self.client = client
        self._kept: dict[bytes, bytes] = {}

    async def remember(self) -> None:
        """Note all that there is."""
        self._kept = {}
        for key in await self.client.keys():
            dumped = await self.client.dump(key)
            assert isinstance(key, bytes)
            assert isinstance(dumped, bytes)
            self._kept[key] = dumped

    async def forget(self) -> None:
        """Go back to it."""
        async with self.client.pipeline(transaction=True) as together:
            together.flushall()
            for key, dumped in self._kept.items():
                together.restore(key, 0, dumped)
            await together.execute()

    async def part_listeners(self) -> None:
        """End the connections that listen, as those of a master that dies do."""
        await self.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")  # type: ignore[no-untyped-call]

    async def ended(self, keys: LogKeys) -> bool:
        """Whether it has the end of a log."""
        return bool(await self.client.hget(keys.meta, "ended"))


@asynccontextmanager
async def forgetful(retention: Retention | None = None) -> AsyncIterator[tuple[RedisBus, Forgetful]]:
    """A bus over such a Redis."""
    async with RedisServer() as server:
        client, bus = server.client(), RedisBus(server.url, retention)
        await bus.open(no_orphan)
        try:
            yield bus, Forgetful(client)
        finally:
            await bus.close()
            await client.aclose()


def carried(bus: RedisBus) -> list[RedisWriter]:
    """Writers that this process still looks after."""
    return [writer for flusher in bus._flushers._flushers.values() for writer in flusher.writers]


async def none_carried(bus: RedisBus) -> None:
    """Wait until there are none."""

    async def look() -> bool:
        return not carried(bus)

    await eventually(look, "ended logs are let go of")


def keys_of(number: int) -> LogKeys:
    """Where the n-th log of a test is."""
    return log_keys("t", meta(number).generation)


async def spoken(bus: RedisBus, what: Meta, count: int) -> Writer:
    """A writer whose log holds so many texts."""
    writer = await created(bus, what)
    for number in range(count):
        writer.append(Text(f"{number} "))
    await visible(writer)
    return writer


async def test_an_end_is_written_again_as_soon_as_it_may_be_lost() -> None:
    """Where the connection that listens had to be made anew, the ends of the last seconds are looked for, and written
    again where they are missing: a tail of one log, and all of another."""
    async with forgetful() as (bus, redis):
        first = await spoken(bus, meta(1), 5)
        await redis.remember()
        for number in range(5):
            first.append(Text(f"more {number} "))
        second = await spoken(bus, meta(2), 5)
        assert [await writer.seal(DONE) for writer in (first, second)] == ["won", "won"]
        await redis.forget()
        assert not await redis.ended(keys_of(1))
        await redis.part_listeners()
        for number, writer in ((1, first), (2, second)):
            await eventually(lambda number=number: redis.ended(keys_of(number)), "its end", timeout_s=_AT_ONCE_S)  # type: ignore[misc]
            other = RedisBus(bus._url)
            await other.open(no_orphan)
            log = await other.find("t", meta(number).generation)
            assert log is not None
            assert log.finished == DONE
            assert list(log.since(0)) == list(writer.log.since(0))
            assert log.cursor == writer.log.cursor
            await other.close()


async def test_an_end_is_looked_at_once_more_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing tells of a failover, an end is looked for after a while, written again, and looked for again."""
    monkeypatch.setattr("realtime.bus.redis.lease.CERTAIN_S", _SOON_S)
    async with forgetful() as (bus, redis):
        writer = await spoken(bus, meta(1), 5)
        await redis.remember()
        assert await writer.seal(DONE) == "won"
        await redis.forget()
        await eventually(lambda: redis.ended(keys_of(1)), "the end is there again")
        await none_carried(bus)
        assert await redis.ended(keys_of(1))


async def test_an_end_that_is_seen_early_is_not_yet_certain() -> None:
    """A look that comes before a replica can have it does not do."""
    async with forgetful() as (bus, redis):
        writer = await spoken(bus, meta(1), 5)
        await redis.remember()
        assert await writer.seal(DONE) == "won"
        heard = asyncio.Event()
        look_again = Shelf.look_again

        async def anew(shelf: Shelf) -> None:
            await look_again(shelf)
            heard.set()

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Shelf, "look_again", anew)
            await redis.part_listeners()
            async with asyncio.timeout(10):
                await heard.wait()
        await visible(await created(bus, meta(2)))
        await redis.forget()
        await redis.part_listeners()
        await eventually(lambda: redis.ended(keys_of(1)), "the end is there again")


async def test_what_was_erased_stays_erased(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that is gone because somebody wanted it gone is not taken for one that was lost."""
    monkeypatch.setattr("realtime.bus.redis.lease.CERTAIN_S", _SOON_S)
    async with forgetful() as (bus, redis):
        writer = await spoken(bus, meta(1), 5)
        assert await writer.seal(DONE) == "won"
        assert await bus.erase("t", meta(1).generation)
        await none_carried(bus)
        assert not await redis.client.exists(keys_of(1).log)
        assert await bus.find("t", meta(1).generation) is None


async def test_what_was_kept_for_its_time_is_not_made_again() -> None:
    """A log whose time is over is gone for good, and nobody looks for it."""
    async with forgetful(Retention(ended_s=1.0)) as (bus, redis):
        writer = await spoken(bus, meta(1), 5)
        assert await writer.seal(DONE) == "won"
        await none_carried(bus)

        async def gone() -> bool:
            return not await redis.client.exists(keys_of(1).meta)

        await eventually(gone, "the log is not kept any more")


async def test_so_many_ends_are_looked_after_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of very many that end at once the oldest are taken to be safe."""
    monkeypatch.setattr("realtime.bus.redis.flusher._MOST_ENDED", 3)
    async with forgetful() as (bus, _):
        live = await spoken(bus, meta(9), 1)
        for number in range(8):
            assert await (await created(bus, meta(number))).seal(DONE) == "won"

        async def look() -> bool:
            return len(carried(bus)) == 4

        await eventually(look, "all but three and the live one are let go of")
        assert live in carried(bus)


async def test_a_tail_that_is_lost_while_nothing_is_said() -> None:
    """One who says nothing finds out with its next renewal that Redis has forgotten, and writes it again."""
    async with forgetful() as (bus, redis):
        writer = await spoken(bus, meta(1), 2)
        await redis.remember()
        writer.append(Text("more"))
        await visible(writer)
        await redis.forget()

        async def top() -> bool:
            return await redis.client.hget(keys_of(1).meta, "top") == str(writer.log.head).encode()

        assert not await top()
        await eventually(top, "the tail is there again")


async def test_a_window_that_is_lost_goes_on_where_it_is() -> None:
    """Of a windowed log that is lost altogether what is still known is written again, under its own numbers."""
    async with forgetful(Retention(window_events=10)) as (bus, redis):
        writer = await created(bus, meta(1, retain="window"))
        for number in range(1000):
            writer.append(Text(f"{number} "))
        await visible(writer)
        trimmed = writer.log.trimmed
        assert trimmed > 0
        await redis.forget()
        writer.append(Text("more"))
        assert await writer.seal(DONE) == "won"
        other = RedisBus(bus._url)
        await other.open(no_orphan)
        log = await other.find("t", meta(1).generation)
        assert log is not None
        assert (log.trimmed, log.head) == (trimmed, writer.log.head)
        assert list(log.since(0)) == list(writer.log.since(0))
        await other.close()


async def test_a_silent_generation_keeps_its_lease_beside_a_busy_one() -> None:
    """However much one has to say, another that says nothing is renewed all the same."""
    async with forgetful() as (bus, redis):
        await created(bus, meta(1))
        busy = await created(bus, meta(2))
        member = keys_of(1).member

        async def lease() -> float:
            until: Any = await redis.client.zscore(leases(lane_of(meta(1).generation)), member)
            return float(until)

        first = await lease()

        async def renewed() -> bool:
            busy.append(Text("x"))
            return await lease() > first

        await eventually(renewed, "its lease is renewed", timeout_s=8.0)


async def test_what_has_ended_is_let_go_of_beside_a_busy_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much one has to say, others that have ended are not kept for ever."""
    monkeypatch.setattr("realtime.bus.redis.lease.CERTAIN_S", _SOON_S)
    async with forgetful() as (bus, _):
        busy = await created(bus, meta(1))
        assert await (await created(bus, meta(2))).seal(DONE) == "won"

        async def alone() -> bool:
            busy.append(Text("x"))
            return len(carried(bus)) == 1

        await eventually(alone, "what has ended is let go of")


async def test_one_who_is_ahead_of_another_writer_begins_again() -> None:
    """A copy that has more than was kept is given up as soon as it is compared, though nobody told of the new writer:
    those who read it are asked to come again."""
    async with forgetful() as (bus, redis):
        writer = await spoken(bus, meta(1), 2)
        async with _reading(bus, writer.log.meta) as (other, log, reader):
            await redis.remember()
            writer.append(Text("more"))
            await visible(writer)
            async with asyncio.timeout(10):
                await log.wait(writer.log.head - 1)
            await bus._flushers.close()
            await redis.forget()
            await redis.client.hset(keys_of(1).meta, mapping=_as_taken_over(writer, before=writer.log.head - 1))
            async with asyncio.timeout(20):
                await reader.woken.wait()
            again = await other.find("t", meta(1).generation)
            assert again is not log


async def test_a_take_over_that_is_forgotten_while_the_first_writer_lives() -> None:
    """Whoever took it over writes nothing into what the other goes on with, and its observers come again for that."""
    async with forgetful() as (bus, redis):
        writer, reader = await spoken(bus, meta(1), 2), Reader()
        other, orphans = await _heir(bus)
        await redis.remember()
        second = await _take_over(redis, other, orphans)
        second.log.attach(reader, second.log.head)
        await redis.forget()
        writer.append(Text("more"))
        await visible(writer)
        assert await second.seal(DONE) == "fenced"
        async with asyncio.timeout(20):
            await reader.woken.wait()
        again = await other.find("t", meta(1).generation)
        assert again is not None
        assert list(again.since(0)) == list(writer.log.since(0))
        assert await writer.seal(DONE) == "won"
        await other.close()


async def test_a_take_over_that_is_forgotten_is_made_good() -> None:
    """Where nobody else has gone on, the end that was forgotten with it is written again, as another writer's."""
    async with forgetful() as (bus, redis):
        await spoken(bus, meta(1), 2)
        await bus._flushers.close()
        other, orphans = await _heir(bus)
        await redis.remember()
        second = await _take_over(redis, other, orphans)
        assert await second.seal(DONE) == "won"
        await redis.forget()
        await redis.part_listeners()
        await eventually(lambda: redis.ended(keys_of(1)), "its end is there again", timeout_s=_AT_ONCE_S)
        third = RedisBus(bus._url)
        await third.open(no_orphan)
        log = await third.find("t", meta(1).generation)
        assert log is not None
        assert log.cursor == second.log.cursor
        for one in (other, third):
            await one.close()


async def test_one_who_comes_while_a_log_is_taken_over() -> None:
    """There is one copy of a log in a process, whoever is the first to want it: who reads it is told of its end."""
    async with forgetful() as (bus, redis):
        await spoken(bus, meta(1), 2)
        await bus._flushers.close()
        other, orphans = await _heir(bus)
        await redis.client.zadd(keys_of(1).leases, {keys_of(1).member: 1})
        async with asyncio.TaskGroup() as group:
            group.create_task(other._sweep._orphaned(keys_of(1).member))  # type: ignore[arg-type]
            finding = group.create_task(other.find("t", meta(1).generation))
        log = finding.result()
        writer = await orphans.get()
        assert writer.log is log
        assert await writer.seal(DONE) == "won"
        assert log.finished == DONE
        await other.close()


async def _heir(bus: RedisBus) -> tuple[RedisBus, asyncio.Queue[Writer]]:
    """Another process, and whatever it takes over: by `_take_over`, since its sweep would take seconds."""
    other, orphans = RedisBus(bus._url), asyncio.Queue[Writer]()
    await other.open(orphans.put)
    await other._sweep.close()
    return other, orphans


async def _take_over(redis: Forgetful, other: RedisBus, orphans: asyncio.Queue[Writer]) -> Writer:
    """Have it take over the first log of a test, as if that had no writer any more."""
    await redis.client.zadd(keys_of(1).leases, {keys_of(1).member: 1})
    await other._sweep._orphaned(keys_of(1).member)
    return await orphans.get()


@asynccontextmanager
async def _reading(bus: RedisBus, what: Meta) -> AsyncIterator[tuple[RedisBus, EventLog, Reader]]:
    """Another process that shows a log to somebody."""
    other, reader = RedisBus(bus._url), Reader()
    await other.open(no_orphan)
    # It is not to end what this test leaves without a writer.
    await other._sweep.close()
    log = await other.find(what.tenant, what.generation)
    assert log is not None
    log.attach(reader, log.head)
    try:
        yield other, log, reader
    finally:
        log.detach(reader)
        await other.close()


def _as_taken_over(writer: Any, before: int) -> dict[Any, Any]:
    """What `take_over.lua` leaves in the meta of a log."""
    fence = writer.fence + 1
    return {"fence": fence, "branches": f"0:{writer.fence},{before}:{fence}"}
