"""A master of Redis dies with what its replica was not told: nothing is lost while the driver lives, and when that dies
too, whoever saw more than is kept is told so."""

import signal
from collections.abc import Callable

import pytest

from tests.support.eventually import eventually
from tests.support.http import start

from .redis_scene import Watching, field, read, replicated, said, workers

Amount = Callable[[int, int], int]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# At 50 a second, half a second.
_STALLED = 25


@pytest.mark.parametrize("dies", [True, False], ids=["dead", "awake again"])
async def test_nothing_is_lost_while_the_driver_lives(amount: Amount, dies: bool) -> None:
    """A replica that was half a second behind becomes the master: every observer goes on where it was, without a reset.
    What had ended in that time has its end again, be it a log of which the replica knew or one of which it did not."""
    if not dies and not amount(0, 1):
        pytest.skip("only at the full size")
    async with replicated() as redis, workers(redis.url, redis.url) as (one, other), redis.replica.client() as kept:
        watching, tokens = Watching(), amount(500, 2500)
        live = [await start(one.address, **said(50, tokens)) for _ in range(amount(3, 20))]
        for generation in live:
            await watching.begin(generation, [one], [other])
        known = await start(one.address, **said(25, 25))
        await eventually(lambda: field(kept, known, "top"), "the replica knows of it")
        redis.link.hold()
        unknown = await start(one.address, **said(100, 25))
        for generation in (known, unknown):
            await watching.begin(generation, [one])

        async def ended() -> bool:
            return watching.of(known).finished and watching.of(unknown).finished

        await eventually(ended, "both have ended")
        await watching.got_on(watching.counts(), _STALLED)
        before = watching.counts()
        await redis.fail_over(dies=dies)
        outage_s = await watching.got_on(before)
        if not dies:
            # It takes itself for the master until it is told otherwise.
            redis.master.resume()
        lost = [int(await field(kept, known, "top") or 0), int(await field(kept, live[0], "top") or 0)]
        print(f"an outage of {outage_s:.1f} s, from {before[0]}; the new master is at {lost}")
        for generation in (known, unknown):
            await eventually(lambda one=generation: field(kept, one, "ended"), "its end is there again")  # type: ignore[misc]
            assert (await read(other.address, generation)).events == watching.of(generation).events
        await watching.over()
        assert {observer.events[-1]["outcome"] for observer in watching.observers} == {"completed"}
        assert [observer.resets for observer in watching.observers] == [[]] * len(watching.observers)
        assert f"{live[0]} is at " in one.process.log
        assert f"{unknown} was lost, and is written again" in one.process.log


async def test_whoever_saw_more_than_is_kept_is_told(amount: Amount) -> None:
    """Master and driver die together: everyone who was ahead of the replica begins again, and all end with the same."""
    async with replicated() as redis, workers(redis.url, redis.url) as (one, other), redis.replica.client() as kept:
        watching = Watching()
        live = [await start(one.address, **said(50, 100_000)) for _ in range(amount(3, 50))]
        for generation in live:
            await watching.begin(generation, [one, other], [other])
        await watching.got_on([0] * len(watching.observers), _STALLED)
        redis.link.hold()
        await watching.got_on(watching.counts(), _STALLED)
        one.process.signal(signal.SIGKILL)
        await redis.fail_over()
        tops = {generation: int(await field(kept, generation, "top") or 0) for generation in live}
        for observer in watching.observers:
            assert len(observer.frames) > tops[observer.generation] + 1
        await watching.over()
        for observer in watching.observers:
            assert observer.events[-1]["error"]["code"] == "driver_lost"
            assert set(observer.resets) == {"branch"}
            assert len(observer.frames) == tops[observer.generation] + 1
        assert (await read(other.address, live[0])).events == watching.of(live[0]).events
