"""Two processes with one Redis: what is started in one is watched and stopped in the other, and outlives the first."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest

from tests.server.running import Process, running
from tests.support.http import request, start, stop
from tests.support.observer import Observer
from tests.support.raw import WIRES
from tests.support.redis_server import RedisServer
from tests.support.server import Address

Amount = Callable[[int, int], int]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# Lease, two sweeps a renewal apart, and what the last of them takes; the figure is 15 s on a machine of one's own.
_LOST_S = 25.0
_ENDLESS = {"model": "demo/default", "options": {"rate": 50, "tokens": 100_000}, "on_disconnect": "continue"}


class Worker(NamedTuple):
    process: Process
    address: Address


class Pair(NamedTuple):
    redis: RedisServer
    one: Worker
    other: Worker


@asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    """Two workers and their Redis."""
    async with RedisServer() as redis:
        env = {"REALTIME_REDIS_URL": redis.url}
        async with running(**env) as one, running(**env) as other:
            yield Pair(redis, Worker(*one), Worker(*other))


async def follow(observer: Observer, address: Address, wire: str) -> None:
    """Observe to the end, and come again when asked to."""
    while not observer.finished:
        end = await observer.watch(address, wire)  # type: ignore[arg-type]
        assert end.error is None, end


async def told(observer: Observer) -> dict[str, object]:
    """The event that ended it."""
    last: dict[str, object] = observer.events[-1]
    assert last["type"] == "finished"
    return last


async def truth(address: Address, generation: str) -> list[bytes | None]:
    """What is kept of it, as one who comes late reads it."""
    late = Observer(generation, "late")
    await follow(late, address, "ndjson")
    return list(late.raws)


async def test_watched_in_both_and_stopped_in_the_other() -> None:
    """Every observer has the same events, wherever it is and whatever its wire, and all are told of the stop."""
    async with pair() as workers:
        generation = await start(workers.one.address, **_ENDLESS)
        watching = {
            (worker.address, wire): Observer(generation, f"{wire} {worker.address.port}")
            for worker in (workers.one, workers.other)
            for wire in WIRES
        }
        async with asyncio.TaskGroup() as group:
            for (address, wire), observer in watching.items():
                group.create_task(follow(observer, address, wire))
            for observer in watching.values():
                await observer.began.wait()
            assert (await stop(workers.other.address, generation))["state"] in {"stopping", "finished"}
        texts = {observer.text for observer in watching.values()}
        assert len(texts) == 1
        for observer in watching.values():
            assert (await told(observer))["stopped_by"] == "owner"
            assert observer.resets == []


async def test_a_worker_that_is_killed(amount: Amount) -> None:
    """What it drove ends once, as lost, for everyone who watches it elsewhere, with everything that was said before."""
    count = amount(10, 200)
    async with pair() as workers:
        generations = [await start(workers.one.address, **_ENDLESS) for _ in range(count)]
        watching = [Observer(one, f"{one} {wire}") for one in generations for wire in WIRES[:3]]
        tasks = [
            asyncio.create_task(follow(observer, workers.other.address, WIRES[number % 3]))
            for number, observer in enumerate(watching)
        ]
        for observer in watching:
            await observer.began.wait()
        workers.one.process.signal(signal.SIGKILL)
        killed = asyncio.get_running_loop().time()
        async with asyncio.timeout(_LOST_S):
            await asyncio.gather(*tasks)
        took = asyncio.get_running_loop().time() - killed
        print(f"{count} generations ended {took:.1f} s after their worker")
        for observer in watching:
            ended = await told(observer)
            assert (ended["outcome"], ended["error"]["code"]) == ("failed", "driver_lost")  # type: ignore[index]
            ids = [str(event["id"]).rpartition("-")[2] for event in observer.events]
            assert ids == [str(number) for number in range(1, len(ids) + 1)]
        assert await truth(workers.other.address, generations[0]) != []


async def test_a_worker_that_stands_still() -> None:
    """It is replaced, and when it goes on it writes nothing more and says what the others say."""
    async with pair() as workers:
        generation = await start(workers.one.address, **_ENDLESS)
        observer = Observer(generation, "elsewhere")
        watching = asyncio.create_task(follow(observer, workers.other.address, "ndjson"))
        await observer.began.wait()
        workers.one.process.signal(signal.SIGSTOP)
        async with asyncio.timeout(_LOST_S):
            await watching
        kept = await truth(workers.other.address, generation)
        workers.one.process.signal(signal.SIGCONT)
        here = Observer(generation, "here")
        async with asyncio.timeout(_LOST_S):
            await follow(here, workers.one.address, "ndjson")
        assert here.raws == kept
        assert await truth(workers.other.address, generation) == kept


async def test_a_stop_that_nobody_hears() -> None:
    """Where no message arrives, a stop comes with the next renewal."""
    async with pair() as workers:
        client = workers.redis.client()
        generation = await start(workers.one.address, **_ENDLESS)
        # Nobody may listen any more, and nobody may begin to.
        await client.execute_command("ACL", "SETUSER", "default", "-subscribe")  # type: ignore[no-untyped-call]
        await client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")  # type: ignore[no-untyped-call]
        observer = Observer(generation, "here")
        watching = asyncio.create_task(follow(observer, workers.one.address, "sse"))
        await observer.began.wait()
        await request(workers.other.address, "POST", f"/v1/generations/{generation}/stop")
        async with asyncio.timeout(_LOST_S):
            await watching
        assert (await told(observer))["outcome"] == "stopped"
        await client.aclose()


async def test_redis_stands_still(amount: Amount) -> None:
    """What is said meanwhile is said afterwards, nothing is lost and nobody is given up."""
    async with pair() as workers:
        generation = await start(
            workers.one.address, model="demo/default", options={"rate": 100, "tokens": 600}, on_disconnect="continue"
        )
        watching = [Observer(generation, f"{n}") for n in range(4)]
        tasks = [
            asyncio.create_task(follow(observer, (workers.one, workers.other)[n % 2].address, "sse"))
            for n, observer in enumerate(watching)
        ]
        for observer in watching:
            await observer.began.wait()
        client = workers.redis.client()
        pause_ms = amount(2_000, 10_000)
        await client.execute_command("CLIENT", "PAUSE", pause_ms, "ALL")  # type: ignore[no-untyped-call]
        async with asyncio.timeout(60):
            await asyncio.gather(*tasks)
        await client.aclose()
        for observer in watching:
            assert (await told(observer))["outcome"] == "completed"
            assert observer.resets == []
            assert observer.raws == watching[0].raws


async def test_redis_dies_and_has_forgotten_everything() -> None:
    """Whoever drives a generation writes it again, from its beginning, and its observers go on as if nothing was."""
    async with pair() as workers:
        generation = await start(
            workers.one.address, model="demo/default", options={"rate": 50, "tokens": 400}, on_disconnect="continue"
        )
        watching = [Observer(generation, f"{n}") for n in range(4)]
        tasks = [
            asyncio.create_task(follow(observer, (workers.one, workers.other)[n % 2].address, "sse"))
            for n, observer in enumerate(watching)
        ]
        for observer in watching:
            await observer.began.wait()
        await workers.redis.kill()
        await workers.redis.start()
        async with asyncio.timeout(60):
            await asyncio.gather(*tasks)
        for observer in watching:
            assert (await told(observer))["outcome"] == "completed"
            assert observer.resets == []
            assert observer.raws == watching[0].raws
        late = Observer(generation, "late")
        await follow(late, workers.other.address, "sse")
        assert late.raws == watching[0].raws
