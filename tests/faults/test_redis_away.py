"""Redis is away for a while, or has no room: who comes is refused and told when to come again, and what runs is not
left waiting."""

from collections.abc import Callable

import pytest

from tests.server.running import Worker
from tests.support.eventually import eventually
from tests.support.http import Response, request, start, stop
from tests.support.redis_server import RedisServer

from .redis_scene import Watching, becomes, field, read, readiness, said, try_start, workers

Amount = Callable[[int, int], int]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_SHORT = said(100, 20)


def refusal(answer: Response) -> tuple[int, str]:
    """How a start was refused; it says when to come again."""
    assert int(answer.headers["retry-after"]) >= 1
    return answer.status, answer.json()["code"]


async def observed(worker: Worker, generation: str, accept: str) -> Response:
    """What one who comes now is answered."""
    return await request(worker.address, "GET", f"/v1/generations/{generation}/events", headers={"Accept": accept})


async def test_redis_is_away() -> None:
    """Neither worker is ready, starts are refused, and an EventSource is told to come back; afterwards all is well."""
    async with RedisServer() as redis, workers(redis.url, redis.url) as (one, other):
        both = (one, other)
        generation = await start(one.address, **_SHORT)
        assert (await read(other.address, generation)).finished
        await redis.kill()
        for worker in both:
            await becomes(worker.address, 503)
            assert refusal(await try_start(worker.address)) == (503, "bus_unavailable")
        unknown = "0" * 32
        assert refusal(await observed(one, unknown, "application/x-ndjson")) == (503, "bus_unavailable")
        told = await observed(one, unknown, "text/event-stream")
        assert (told.status, told.complete) == (200, True)
        assert b"event: bye\n" in told.body
        await redis.start()
        for worker in both:
            await becomes(worker.address, 200)
            again = await read(other.address, await start(worker.address, **_SHORT))
            assert again.events[-1]["outcome"] == "completed"


async def test_redis_has_no_room(amount: Amount) -> None:
    """Starts are refused; what runs goes on when there is room again in time, and else ends as `bus_full` for everyone;
    it can be stopped, and what has ended is read, all the while."""
    async with RedisServer() as redis, workers(redis.url, redis.url) as (one, other), redis.client() as client:
        watching = Watching()
        ended = await start(one.address, **_SHORT)
        before = await read(other.address, ended)
        live = [await start(one.address, **said(50, 100_000)) for _ in range(amount(3, 50))]
        stopped = await start(other.address, **said(50, 100_000))
        for generation in (*live, stopped):
            await watching.begin(generation, [one], [other])

        async def refused() -> bool:
            answer = await try_start(one.address)
            return answer.status == 503 and refusal(answer) == (503, "bus_full")

        await client.config_set("maxmemory", "1")
        await eventually(refused, "a start is refused")
        await client.config_set("maxmemory", "0")
        await watching.got_on(watching.counts(), 25)
        await client.config_set("maxmemory", "1")
        await eventually(refused, "a start is refused")
        for worker in (one, other):
            assert await readiness(worker.address) == 200
            assert (await read(worker.address, ended)).events == before.events
        await stop(one.address, stopped)
        await watching.over()
        for generation in live:
            last = watching.of(generation).events[-1]
            assert (last["outcome"], last["error"]["code"]) == ("failed", "bus_full")
            assert await field(client, generation, "ended")
        assert watching.of(stopped).events[-1]["outcome"] == "stopped"
        assert [observer.resets for observer in watching.observers] == [[]] * len(watching.observers)
        await client.config_set("maxmemory", "0")
        assert (await read(other.address, await start(one.address, **_SHORT))).finished
