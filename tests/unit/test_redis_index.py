"""What is claimed in Redis and has no log: about to be made, or long gone."""

import time
from collections.abc import AsyncIterator

import pytest

from realtime.bus.base import Claim
from realtime.bus.redis import RedisBus
from realtime.events import Text
from realtime.log import EventLog, Meta

from ..support.redis_server import RedisServer
from .logs import DONE
from .test_bus import created, meta, no_orphan, numbers, visible

_HOUR_MS = 3_600_000


@pytest.fixture(autouse=True)
def just_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made here is made now, however long ago the tests began."""
    monkeypatch.setattr("tests.unit.test_bus._BEGAN_MS", int(time.time() * 1000))


@pytest.fixture
async def bus() -> AsyncIterator[RedisBus]:
    """One, with a Redis of its own."""
    async with RedisServer() as server:
        made = RedisBus(server.url)
        await made.open(no_orphan)
        yield made
        await made.close()


async def claimed(bus: RedisBus, what: Meta) -> None:
    """As far as a start has come that has yet to make its log."""
    assert (await bus._index.claim(what, Claim("key"))).word == "NEW"


async def test_one_that_is_about_to_be_made_stays_in_its_conversation(bus: RedisBus) -> None:
    """As it stays listed."""
    await claimed(bus, meta(1, name="c"))
    assert not await bus.conversation("t", None, "c")
    await bus._make(meta(1, name="c"), "")
    assert numbers(await bus.conversation("t", None, "c")) == [1]


async def test_one_that_is_about_to_be_made_stays_listed(bus: RedisBus) -> None:
    """Whoever looks between a claim and its log does not see it, and does not take it from the list."""
    await claimed(bus, meta(1))
    assert not isinstance(await bus.create(meta(2), Claim()), EventLog)
    assert numbers((await bus.page("t", None, None, 9)).logs) == [2]
    await bus._make(meta(1), "")
    assert numbers((await bus.page("t", None, None, 9)).logs) == [2, 1]


async def test_one_that_is_gone_is_listed_no_more(bus: RedisBus) -> None:
    """A look that finds no log where one should have been long since takes it from the list, or the conversation."""
    made_ms = meta(0).created_ms - _HOUR_MS
    await claimed(bus, Meta("0" * 32, "t", None, "demo", "demo/default", made_ms, "c"))
    assert not (await bus.page("t", None, None, 9)).logs
    assert await bus._index.newest("t", None, None, 9) == []
    assert await bus._index.conversation("t", "c") == ["0" * 32]
    assert not await bus.conversation("t", None, "c")
    assert await bus._index.conversation("t", "c") == []


async def test_a_conversation_is_listed_and_not_read(bus: RedisBus) -> None:
    """Another process says of each log how it stands, and neither reads nor holds what was said in it."""
    other = RedisBus(bus._url)
    await other.open(no_orphan)
    for number in (1, 2):
        writer = await created(bus, meta(number, name="c"), Claim(exclusive=False))
        for _ in range(5):
            writer.append(Text("a"))
            await visible(writer)
        if number == 1:
            assert await writer.seal(DONE) == "won"
    ended, running = await other.conversation("t", None, "c")
    assert (ended.finished, ended.head, running.finished, running.head) == (DONE, 8, None, 7)
    assert len(ended.since(0)) == len(running.since(0)) == 1
    assert not list(other._shelf)
    whole = await other.find("t", ended.meta.generation)
    assert whole is not None
    assert len(whole.since(0)) == 8
    await other.close()


async def test_a_repeat_waits_for_the_log(bus: RedisBus) -> None:
    """Of a start that has only claimed its key; and where that never makes one, the key is the next one's."""
    await claimed(bus, meta(1))
    assert not isinstance(await bus.create(meta(2), Claim("key")), EventLog)
    again = await bus.create(meta(3), Claim("key"))
    assert isinstance(again, EventLog)
    assert numbers([again]) == [2]
