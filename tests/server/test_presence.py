"""Who watches elsewhere: a generation of one server is stopped when the last observer has left, whatever the server."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from realtime import presence
from realtime.bus.redis import writer
from realtime.bus.redis.keys import log_keys
from realtime.bus.redis.messages import seen
from realtime.hooks import Record, StopRequested
from realtime.principal import ANONYMOUS
from tests.support.http import request, start, stop
from tests.support.observer import Observer
from tests.support.pair import Pair, paired
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

_SOON_S = 20.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair() -> AsyncIterator[Pair]:
    """Two servers for all tests of the module."""
    async with RedisServer() as redis, paired(redis) as made:
        yield made


class Asked:
    """What a server has asked of its bus, and what it has told of it."""

    def __init__(self, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stops = 0
        self.again = asyncio.Event()
        self.records: list[Record] = []
        self._stop = pair.one.sessions._bus.stop
        monkeypatch.setattr(pair.one.sessions._bus, "stop", self._note)
        monkeypatch.setattr(pair.one.sessions, "_hooks", self.records.append)

    async def _note(self, *args: Any) -> Any:
        answer = await self._stop(*args)
        self.stops += 1
        self.again.set()
        return answer

    async def refused(self) -> None:
        """Wait until it has asked for a stop twice more: the first of them may have been on its way."""
        async with asyncio.timeout(_SOON_S):
            for _ in range(2):
                self.again.clear()
                await self.again.wait()


@pytest.fixture
def asked(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Of the one server, which asks again soon."""
    monkeypatch.setattr(presence, "_AGAIN_S", 0.05)
    return Asked(pair, monkeypatch)


async def begun(pair: Pair, grace: float) -> str:
    """A generation without an end, in the one server, that is given up when nobody watches it."""
    options = {"rate": 50, "tokens": 100_000}
    return await start(pair.one.address, model="demo/default", options=options, on_disconnect="stop", grace=grace)


async def stopped_by(pair: Pair, generation: str) -> str | None:
    """Who has stopped it."""
    finished = (await pair.one.finished(generation)).finished
    assert finished is not None
    return finished.stopped_by


async def test_the_last_observer_leaves_elsewhere(pair: Pair) -> None:
    """Nobody ever watched it where it is driven, and it is stopped all the same."""
    generation = await begun(pair, 0.05)
    await Observer(generation).watch(pair.other.address, "sse", count=5)
    assert await stopped_by(pair, generation) == "disconnect"


async def test_it_goes_on_while_somebody_watches_elsewhere(pair: Pair, asked: Asked) -> None:
    """The last one here leaves, and it is stopped only when the last one there has left; only that counts as a stop."""
    generation = await begun(pair, 0.05)
    there = Observer(generation)
    watching = asyncio.create_task(there.watch(pair.other.address, "sse"))
    await there.began.wait()
    await Observer(generation).watch(pair.one.address, "sse", count=5)
    await asked.refused()
    assert (await pair.one.log(generation)).state == "streaming"
    assert not any(isinstance(record, StopRequested) for record in asked.records)
    watching.cancel()
    await asyncio.wait({watching})
    assert await stopped_by(pair, generation) == "disconnect"
    assert [record.by for record in asked.records if isinstance(record, StopRequested)] == ["disconnect"]


async def test_whoever_dies_with_their_process_has_left(pair: Pair, asked: Asked) -> None:
    """A process that says that somebody watches, and is then heard of no more, does not keep it for ever."""
    generation = await begun(pair, 0.05)
    keys, client = log_keys(ANONYMOUS.tenant, generation), pair.redis.client()
    await client.zadd(keys.seen, {"gone": (time.time() + 1) * 1000})
    await client.publish(keys.asked, seen(generation, "gone", "observer"))
    await client.aclose()
    assert await stopped_by(pair, generation) == "disconnect"
    assert asked.stops > 1


async def test_a_wait_elsewhere_is_no_departure(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asked how far it is, and was told, was nobody's observer: what was never observed runs on."""
    heard: asyncio.Queue[bool] = asyncio.Queue()
    note = writer.RedisWriter.note_elsewhere

    def listen(self: writer.RedisWriter, *, observed: bool) -> None:
        note(self, observed=observed)
        heard.put_nowait(observed)

    monkeypatch.setattr(writer.RedisWriter, "note_elsewhere", listen)
    generation = await begun(pair, 0)
    waited = await request(pair.other.address, "GET", f"/v1/generations/{generation}", headers={"Prefer": "wait=1"})
    assert waited.json()["state"] == "streaming"
    async with asyncio.timeout(_SOON_S):
        assert [await heard.get(), await heard.get()] == [False, False]
    assert pair.one.sessions._sessions[generation]._presence.grace_ends_at is None
    await stop(pair.one.address, generation)
