"""A signal to a process with a crowd attached: no stream is cut, nobody lacks an event, and they come back spread.

The provider is scripted here, so what runs goes on for as long as the test says and no longer.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.history.checker import check
from tests.server.running import Process, running
from tests.support.http import start
from tests.support.observer import Observer
from tests.support.raw import WIRES
from tests.support.redis_server import RedisServer
from tests.support.server import Address
from tests.upstream import Reply, Upstream, Wait, chat
from tests.upstream.server import Step

from .crowd import Crowd
from .leaving import allow_descriptors, draining, gone, settled, spaced

Amount = Callable[[int, int], int]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_GENERATIONS = 20
_SPREAD_MS = 2_000
# Said before the signal and after it.
_BEFORE = [f"{n} before, " for n in range(10)]
_AFTER = [f"{n} after, " for n in range(10)]


@asynccontextmanager
async def attended(
    size: int, go: asyncio.Event, *flags: str, **variables: str
) -> AsyncIterator[tuple[Process, Address, Crowd]]:
    """A server process with a crowd of this size, and generations that end a little after `go`."""
    allow_descriptors(4 * size)
    said = chat.text(*_BEFORE, *_AFTER)
    first = 1 + len(_BEFORE)
    steps: list[Step] = [*spaced(said[:first]), Wait(go), *spaced(said[first:])]
    async with (
        Upstream(Reply(steps)) as upstream,
        running(*flags, OPENAI_BASE_URL=upstream.url, **variables) as (process, address),
    ):
        names = [f"c{n}" for n in range(_GENERATIONS)]
        started = {name: await start(address, model="openai/m", conversation=name) for name in names}
        crowd = Crowd(address, started, size)
        await crowd.attach()
        yield process, address, crowd


def assert_sent_away(crowd: Crowd, size: int, manners: dict[str, int]) -> None:
    """Everyone in an orderly way, and not all to come back at the same time."""
    goodbyes = crowd.goodbyes()
    assert manners.keys() == {"complete", "complete after a goodbye", "closed with 1012 after a goodbye"}
    assert sum(manners.values()) == size
    assert len(goodbyes) == size - manners["complete"]
    assert max(goodbyes) - min(goodbyes) >= _SPREAD_MS
    # No second of them gets more than half.
    assert max(sum(at <= other < at + 1000 for other in goodbyes) for at in goodbyes) <= len(goodbyes) / 2


def assert_whole(process: Process, crowd: Crowd) -> None:
    """Everyone has all of it."""
    assert check([*crowd.rows, *settled(process)]) == []
    assert all(witness.finished and not witness.resets for witness in crowd.witnesses)


async def test_what_runs_finishes_before_its_crowd(amount: Amount) -> None:
    """A drain lets generations end by themselves; then everyone is sent away, and a fresh server is there for them."""
    size, go, now = amount(200, 1_000), asyncio.Event(), asyncio.get_running_loop().time
    async with attended(size, go) as (process, address, crowd):
        process.signal()
        signalled_s = now()
        await draining(address)
        assert not any(witness.finished for witness in crowd.witnesses)
        go.set()
        manners = await crowd.sent_away()
        await gone(process, signalled_s)
    assert_sent_away(crowd, size, manners)
    assert_whole(process, crowd)
    assert {witness.text for witness in crowd.witnesses} == {"".join([*_BEFORE, *_AFTER])}
    assert {witness.events[-1]["outcome"] for witness in crowd.witnesses} == {"completed"}
    async with running() as (_, fresh):
        # What they had is theirs; the log went with its process, and a fresh one says so and never splices.
        for wire, witness in zip(WIRES, crowd.witnesses, strict=False):
            back = await Observer(witness.generation).watch(fresh, wire, after=witness.events[2]["id"])
            assert back.error is not None
            assert back.error["code"] == "not_found"
            again = Observer(await start(fresh, model="demo/default", options={"tokens": 5, "rate": 1000}))
            assert (await again.watch(fresh, wire)).why == "ended"


async def test_workers_on_one_port_finish_what_runs_before_their_crowd(amount: Amount) -> None:
    """Of two workers each lets its own generations end, whoever watches them; and what replaces both has it all."""
    size, go, now = amount(200, 1_000), asyncio.Event(), asyncio.get_running_loop().time
    async with RedisServer() as redis:
        env = {"REALTIME_REDIS_URL": redis.url}
        async with attended(size, go, "--workers", "2", **env) as (process, address, crowd):
            process.signal()
            signalled_s = now()
            await draining(address)
            assert not any(witness.finished for witness in crowd.witnesses)
            go.set()
            manners = await crowd.sent_away()
            await gone(process, signalled_s)
        assert_sent_away(crowd, size, manners)
        # The worker that has come to its end before the other does not keep those who watch what that one drives.
        left = [witness for witness in crowd.witnesses if not witness.finished]
        print(f"{size} observers: {manners}, {len(left)} of them before the end")
        async with running("--workers", "2", **env) as (_, fresh):
            for wire, witness in zip(itertools.cycle(WIRES), left, strict=False):
                assert (await witness.watch(fresh, wire)).why == "ended"
            assert_whole(process, crowd)
            for wire, witness in zip(WIRES, crowd.witnesses, strict=False):
                back, had = Observer(witness.generation), witness.events[:3]
                assert (await back.watch(fresh, wire, after=had[-1]["id"])).why == "ended"
                assert [*had, *back.events] == witness.events
        assert {witness.text for witness in crowd.witnesses} == {"".join([*_BEFORE, *_AFTER])}


async def test_what_runs_too_long_is_ended_before_its_crowd(amount: Amount) -> None:
    """When the drain's time is over the rest ends as the server's fault, and everyone has all of it."""
    size, never, now = amount(200, 1_000), asyncio.Event(), asyncio.get_running_loop().time
    async with attended(size, never, "--drain-timeout-s", "1") as (process, _, crowd):
        process.signal()
        signalled_s = now()
        manners = await crowd.sent_away()
        await gone(process, signalled_s)
    assert_sent_away(crowd, size, manners)
    assert_whole(process, crowd)
    last = [witness.events[-1] for witness in crowd.witnesses]
    assert {(event["outcome"], event["error"]["code"]) for event in last} == {("failed", "worker_shutdown")}
    assert len({witness.text for witness in crowd.witnesses}) <= _GENERATIONS
