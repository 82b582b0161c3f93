"""The link between a worker and Redis swallows everything for a while, or loses answers."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from realtime.bus.redis.batches import decode_written
from tests.support.eventually import eventually
from tests.support.http import start
from tests.support.link import Link
from tests.support.redis_server import RedisServer

from .redis_scene import Watching, becomes, field, keys, read, readiness, said, workers

Amount = Callable[[int, int], int]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# Lease, two sweeps a renewal apart, and what the last of them takes; twice that, for a machine that has other work.
_TAKEN_OVER_S = 30.0


async def test_a_link_that_swallows_everything(amount: Amount) -> None:
    """The worker behind it is not ready, what it drives is ended by the other, what the other drives goes on; and when
    the link is back, everyone has the same, nothing twice, and the worker takes generations again."""
    hole_s = amount(0, 30)
    async with (
        RedisServer() as redis,
        Link(redis.port) as link,
        workers(link.url, redis.url) as (one, other),
        redis.client() as client,
    ):
        watching = Watching()
        here = [await start(one.address, **said(50, 100_000)) for _ in range(amount(2, 20))]
        there = await start(other.address, **said(50, 500))
        for generation in (*here, there):
            await watching.begin(generation, [one], [other])
        await watching.got_on(watching.counts(), 25)
        began = asyncio.get_running_loop().time()
        link.hold()
        print(f"not ready after {await becomes(one.address, 503):.1f} s")
        assert await readiness(other.address) == 200

        async def taken_over() -> bool:
            return all([await field(client, generation, "ended") for generation in here])

        await eventually(taken_over, "the other has ended them", timeout_s=_TAKEN_OVER_S)
        print(f"taken over after {asyncio.get_running_loop().time() - began:.1f} s")

        async def long_enough() -> bool:
            return asyncio.get_running_loop().time() - began >= hole_s

        await eventually(long_enough, "the hole is as long as is asked", timeout_s=hole_s + 1.0)
        link.release()
        print(f"ready again after {await becomes(one.address, 200):.1f} s")
        await watching.over()
        for generation in here:
            assert watching.of(generation).events[-1]["error"]["code"] == "driver_lost"
        assert watching.of(there).events[-1]["outcome"] == "completed"
        again = await read(other.address, await start(one.address, **said(100, 20)))
        assert again.events[-1]["outcome"] == "completed"


async def test_answers_that_are_lost(amount: Amount) -> None:
    """Every tenth answer is lost with its connection, once Redis has done what was asked: nothing is written twice,
    nothing is left out, and nobody notices."""
    async with (
        RedisServer() as redis,
        Link(redis.port) as link,
        workers(link.url, link.url) as (one, other),
        redis.client() as client,
    ):
        watching = Watching()
        tokens = 50 * amount(6, 60)
        live = [await start(one.address, **said(50, tokens)) for _ in range(amount(3, 20))]
        live.append(await start(other.address, **said(50, tokens)))
        for generation in live:
            await watching.begin(generation, [one], [other])
        link.loses_every = 10
        await watching.got_on(watching.counts(), tokens - 25, timeout_s=240.0)
        link.loses_every = 0
        await watching.over()
        print(f"{link.lost} answers were lost")
        assert link.lost >= 10
        for generation in live:
            assert watching.of(generation).events[-1]["outcome"] == "completed"
            numbers = await _written(client, generation)
            assert numbers == list(range(1, len(watching.of(generation).events) + 1))
        assert [observer.resets for observer in watching.observers] == [[]] * len(watching.observers)


async def _written(client: Any, generation: str) -> list[int]:
    """The numbers of all events that Redis has of it, as they are stored."""
    numbers = list[int]()
    for _, fields in await client.xrange(keys(generation).log):
        batch = decode_written(fields[b"b"]).batch
        numbers += range(batch.first, batch.first + len(batch.events))
    return numbers
