"""`--workers`: several processes on one port, with one Redis between them."""

import asyncio
import os
import signal

import psutil

from tests.server.running import running
from tests.support.http import BrokenError, request, start, stop
from tests.support.observer import Observer
from tests.support.redis_server import RedisServer

_ENDLESS = {"model": "demo/default", "options": {"rate": 50, "tokens": 100_000}, "on_disconnect": "continue"}


async def test_several_answer_on_one_port() -> None:
    """Whoever takes a connection has all generations; a signal ends all of them in order, and with success."""
    async with (
        RedisServer() as redis,
        running("--workers", "2", "--drain-timeout-s", "0", REALTIME_REDIS_URL=redis.url) as (process, address),
    ):
        workers = psutil.Process(process.pid).children()
        assert len(workers) == 2
        generations = [await start(address, **_ENDLESS) for _ in range(6)]
        observers = [Observer(generation) for generation in generations for _ in range(3)]
        watching = [asyncio.create_task(one.watch(address, "ndjson")) for one in observers]
        for one in observers:
            await one.began.wait()
        for generation in generations:
            assert (await stop(address, generation))["state"] in {"stopping", "finished"}
        await asyncio.gather(*watching)
        assert all(one.finished for one in observers)
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0
        assert not any(worker.is_running() for worker in workers)


async def test_one_that_dies_is_replaced() -> None:
    """The others serve on, and soon there are as many as before."""
    async with (
        RedisServer() as redis,
        running("--workers", "2", "--drain-timeout-s", "0", REALTIME_REDIS_URL=redis.url) as (process, address),
    ):
        parent = psutil.Process(process.pid)
        dead = parent.children()[0].pid
        os.kill(dead, signal.SIGKILL)
        async with asyncio.timeout(30):
            while {one.pid for one in parent.children()} & {dead} or len(parent.children()) < 2:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.01)
            for _ in range(20):
                try:
                    assert (await request(address, "GET", "/livez")).status == 200
                except BrokenError:
                    # One that the dead process had accepted.
                    continue
        assert "worker 0 ended with -9" in process.log
