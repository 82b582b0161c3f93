"""Two releases side by side, as while one replaces the other: what either writes, the other reads."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

from realtime.bus.redis.keys import log_keys
from realtime.principal import ANONYMOUS
from tests.server.running import Process, running
from tests.support.http import request, start, stop
from tests.support.observer import Observer
from tests.support.raw import WIRES
from tests.support.redis_server import RedisServer
from tests.support.server import Address

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

_LOST_S = 25.0
_ENDLESS: dict[str, Any] = {
    "model": "demo/default", "options": {"rate": 50, "tokens": 100_000}, "on_disconnect": "continue",
}  # fmt: skip


class Releases(NamedTuple):
    redis: RedisServer
    later: tuple[Process, Address]
    this: tuple[Process, Address]


@asynccontextmanager
async def releases() -> AsyncIterator[Releases]:
    """A server of this release, one of a later, and their Redis."""
    async with RedisServer() as redis:
        env = {"REALTIME_REDIS_URL": redis.url}
        async with running(module="tests.faults.next_release", **env) as later, running(**env) as this:
            yield Releases(redis, later, this)


async def stored(redis: RedisServer, generation: str) -> bytes:
    """All that Redis has of a generation."""
    keys, client = log_keys(ANONYMOUS.tenant, generation), redis.client()
    meta, log = await client.hgetall(keys.meta), await client.xrange(keys.log)
    await client.aclose()
    return repr((meta, log)).encode()


async def shared(driver: Address, other: Address, conversation: str) -> str:
    """Start a generation in one, watch it in both, and stop it from the other; nobody misses anything."""
    generation = await start(driver, conversation=conversation, **_ENDLESS)
    observers = [Observer(generation, f"{wire} {address.port}") for address in (driver, other) for wire in WIRES]
    watching = [
        asyncio.create_task(observer.watch(address, wire))
        for observer, (address, wire) in zip(
            observers, ((address, wire) for address in (driver, other) for wire in WIRES), strict=True
        )
    ]
    await asyncio.gather(*(observer.began.wait() for observer in observers))
    busy = await request(other, "POST", "/v1/generations", {"prompt": "x", "conversation": conversation, **_ENDLESS})
    assert busy.json()["generation"] == generation
    # Enough that there are batches of many events, and some that were only read.
    await Observer(generation).watch(other, "ndjson", count=60)
    await stop(other, generation)
    await asyncio.gather(*watching)
    for observer in observers:
        assert [event["id"].rpartition("-")[2] for event in observer.events] == [
            str(number) for number in range(1, len(observer.events) + 1)
        ]
        assert observer.events == observers[0].events
        assert observer.resets == []
        assert observer.events[-1]["stopped_by"] == "owner"
    late = Observer(generation)
    await late.follow(other, "sse")
    assert late.events == observers[0].events
    page = (await request(other, "GET", "/v1/generations?limit=1")).json()
    assert [each["id"] for each in page["generations"]] == [generation]
    return generation


async def test_a_later_release_beside_this_one() -> None:
    """It writes fields, elements, words and messages that this one does not know, and each serves what the other
    drives; what it leaves behind when it dies this one ends."""
    async with releases() as (redis, (process, later), (this_process, this)):
        assert (await stored(redis, await shared(later, this, "theirs"))).count(b"later") > 10
        assert b"later" not in await stored(redis, await shared(this, later, "ours"))
        generation = await start(later, **_ENDLESS)
        left = Observer(generation)
        watching = asyncio.create_task(left.follow(this, "ndjson"))
        await left.began.wait()
        process.signal(signal.SIGKILL)
        async with asyncio.timeout(_LOST_S):
            await watching
        assert left.events[-1]["error"]["code"] == "driver_lost"
        assert "Traceback" not in this_process.log
