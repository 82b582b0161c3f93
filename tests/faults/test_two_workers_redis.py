"""Two processes whose Redis stands still, or dies: what is said meanwhile is said afterwards, and nobody is given up.

Half of the generations are driven in either process, and each is watched in both. At full size each says five words a
second: two cores carry Redis, both processes, and all who watch.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import redis.asyncio as aioredis

from tests.support.http import stop
from tests.support.raw import WIRES

from .pair import Pair, pair
from .scene import until

Amount = Callable[[int, int], int]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_MIB = 2**20
_OVER_S = 60.0
# From the moment Redis answers again until everyone has been told of what was said just then; the figures are 2 s where
# it stood still and 5 s where it died, on a machine of one's own.
_CAUGHT_UP_S = 10.0
_AOF = ("--appendonly", "yes", "--appendfsync", "everysec")
# What a process logs of each generation that Redis has lost so much of.
_LOSSES = {"nothing": "", "the last second": ", not before ", "everything": " was lost, and is written again"}


async def talking(both: Pair, count: int, rate: int) -> None:
    """Have so many say something, with somebody in either process who watches."""
    for worker in (both.one, both.other):
        await both.start(worker, count // 2, model="demo/default", options={"rate": rate, "tokens": 100_000})
    for number, generation in enumerate(both.generations):
        both.watch(generation, WIRES[number % len(WIRES)], both.one)
        both.watch(generation, WIRES[(number + 1) % len(WIRES)], both.other)
    await both.begun()


async def caught_up(both: Pair) -> float:
    """Wait until everyone has been told of something that was said just then; how long that took."""
    now = asyncio.get_running_loop().time
    since = now()
    for reader in both.readers:
        reader.current.clear()
    async with asyncio.timeout(_CAUGHT_UP_S):
        await asyncio.gather(*(reader.current.wait() for reader in both.readers))
    return now() - since


async def ended(both: Pair) -> None:
    """All of them go on until they are stopped, nobody had to come or to begin again, and no one was taken over."""
    count = len(both.generations)
    for generation in both.generations:
        await stop(both.other.address, generation)
    await both.over(_OVER_S)
    assert [reader.name for reader in both.readers if reader.resets or reader.connections > 1] == []
    assert not any(" taken over " in process.log for process in both.processes)
    await both.judge()
    assert both.judged.outcomes == Counter(stopped=count)


def resident_bytes(both: Pair) -> int:
    """What both processes hold."""
    return sum(psutil.Process(process.pid).memory_info().rss for process in both.processes)


async def stand_still(both: Pair, seconds: int) -> None:
    """Have Redis answer nobody for so long, and wait for its next answer."""
    client = aioredis.Redis(host="127.0.0.1", port=both.redis.port, socket_timeout=None)
    await client.execute_command("CLIENT", "PAUSE", seconds * 1000, "ALL")  # type: ignore[no-untyped-call]
    await client.ping()
    await client.aclose()


async def test_redis_stands_still(amount: Amount) -> None:
    """Longer than a lease holds, at full size, and no process takes anything from the other; what is said meanwhile is
    kept where it is said, and everyone has it soon afterwards."""
    count, still_s = amount(20, 200), amount(4, 10)
    async with pair() as both:
        await talking(both, count, amount(20, 5))
        before = resident_bytes(both)
        await stand_still(both, still_s)
        grown = resident_bytes(both) - before
        took_s = await caught_up(both)
        print(f"{still_s} s, {count} generations: caught up in {took_s:.1f} s, {grown / _MIB / count:.2f} MiB each")
        assert min(reader.latest_s for reader in both.readers) > still_s / 2, "it did not stand still"
        assert grown <= count * _MIB
        await ended(both)


@pytest.mark.parametrize("lost", _LOSSES)
async def test_redis_dies_and_comes_back(amount: Amount, lost: str) -> None:
    """Whoever drives a generation writes again what Redis has lost of it, and its observers go on as if nothing was.
    What a machine loses that dies with Redis, the last second of its file, is cut off there before it comes back."""
    count, rate = amount(20, 200), amount(20, 5)
    async with pair(*(() if lost == "everything" else _AOF)) as both:
        await talking(both, count, rate)
        file = append_only_file(both) if lost == "the last second" else None
        size = file.stat().st_size if file is not None else 0
        enough = [len(reader.frames) + rate for reader in both.readers]
        await until(
            lambda: all(len(one.frames) >= least for one, least in zip(both.readers, enough, strict=True)),
            lambda: "nothing was said for a while",
        )
        await both.redis.kill()
        if file is not None:
            os.truncate(file, size)
        await both.redis.start()
        took_s = await caught_up(both)
        print(f"{lost} lost, {count} generations: caught up in {took_s:.1f} s")
        assert all(_LOSSES[lost] in process.log for process in both.processes)
        await ended(both)


def append_only_file(both: Pair) -> Path:
    """Where Redis adds what it is told."""
    (file,) = both.redis._folder.glob("appendonlydir/*.incr.aof")
    return file
