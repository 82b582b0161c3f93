"""Conversations: one active generation, and a stream that needs no id."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from realtime.log import EventLog
from realtime.principal import ANONYMOUS
from tests.support.http import HttpExchange, request, start, stop
from tests.support.parsers import NdjsonParser
from tests.support.server import RunningServer, serving

QUICK: dict[str, Any] = {"model": "demo/default", "conversation": "c", "options": {"rate": 10_000, "tokens": 3}}
ENDLESS: dict[str, Any] = {"model": "demo/default", "conversation": "c", "options": {"rate": 20, "tokens": 5000}}
EVENTS = "/v1/conversations/c/events?wire=ndjson"


class Follower:
    """An NDJSON observer of a conversation, one frame at a time."""

    def __init__(self, server: RunningServer) -> None:
        self._exchange = HttpExchange(server.address)
        self._frames: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._reading: asyncio.Task[None] | None = None

    async def open(self, target: str) -> int:
        """Begin to observe; the status."""
        await self._exchange.ask("GET", target)
        self._reading = asyncio.create_task(self._read())
        return self._exchange.status

    async def _read(self) -> None:
        parser = NdjsonParser()
        async for data in self._exchange.body():
            for frame in parser.feed(data):
                self._frames.put_nowait(frame.value)

    async def until(self, kind: str) -> dict[str, Any]:
        """The next frame of that type."""
        async with asyncio.timeout(20):
            while (frame := await self._frames.get())["type"] != kind:
                pass
        return frame

    async def close(self) -> None:
        """Leave."""
        await self._exchange.close()
        if self._reading is not None:
            await self._reading


async def test_it_names_the_active_and_the_latest() -> None:
    """Nothing, then one that is both, then only the latest."""
    async with serving() as server:

        async def state() -> dict[str, Any]:
            return dict((await request(server.address, "GET", "/v1/conversations/c")).json())

        assert await state() == {"conversation": "c", "active": None, "latest": None}
        generation = await start(server.address, **ENDLESS)
        assert await state() == {"conversation": "c", "active": generation, "latest": generation}
        answer = await request(server.address, "POST", "/v1/conversations/c/stop")
        assert answer.json()["id"] == generation
        await server.finished(generation)
        assert await state() == {"conversation": "c", "active": None, "latest": generation}
        idle = await request(server.address, "POST", "/v1/conversations/c/stop")
        assert (idle.status, idle.json()["code"]) == (404, "not_found")


async def test_a_busy_one_is_refused_or_replaced() -> None:
    """409 names who is active; replace ends that one as replaced."""
    async with serving() as server:
        first = await start(server.address, **ENDLESS)
        refused = await request(server.address, "POST", "/v1/generations", {**ENDLESS, "prompt": "x"})
        assert (refused.status, refused.json()["generation"]) == (409, first)
        await start(server.address, **{**ENDLESS, "if_busy": "replace"})
        finished = (await server.finished(first)).finished
        assert finished is not None
        assert finished.stopped_by == "replaced"


async def test_its_events_are_those_of_the_active_generation() -> None:
    """204 while idle; else the active one's stream, which ends with it."""
    async with serving() as server:
        assert (await request(server.address, "GET", EVENTS)).status == 204
        generation = await start(server.address, **ENDLESS)
        follower = Follower(server)
        assert await follower.open(EVENTS) == 200
        assert (await follower.until("position"))["generation"] == generation
        await stop(server.address, generation)
        assert (await follower.until("finished"))["outcome"] == "stopped"
        await follower.close()


async def test_a_start_can_be_waited_for() -> None:
    """`wait` holds the request until there is one to stream; its time over, it is idle all the same."""
    async with serving() as server:
        waiting = asyncio.ensure_future(request(server.address, "GET", f"{EVENTS}&wait=30"))
        # What the waiter waits in; a server has no event for "somebody waits".
        while not server.sessions._bus._created:  # type: ignore[attr-defined]  # noqa: ASYNC110
            await asyncio.sleep(0)
        generation = await start(server.address, **QUICK)
        answer = await waiting
        assert generation.encode() in answer.body
        assert answer.complete


async def test_following_goes_from_one_to_the_next() -> None:
    """Each generation begins with its own position, and the idle time between them is not an end."""
    async with serving(heartbeat_s=0.2) as server:
        follower = Follower(server)
        assert await follower.open(f"{EVENTS}&follow=1") == 200
        await follower.until("heartbeat")
        for _ in range(3):
            generation = await start(server.address, **QUICK)
            assert (await follower.until("position"))["generation"] == generation
            assert (await follower.until("finished"))["outcome"] == "completed"
            await follower.until("heartbeat")
        await follower.close()


async def test_a_follower_that_comes_back_misses_none() -> None:
    """A cursor of an earlier generation goes on there, then with those that came meanwhile."""
    async with serving() as server:
        generations = []
        for _ in range(3):
            generations.append(await start(server.address, **QUICK))
            await server.finished(generations[-1])
        first = await server.log(generations[0])
        follower = Follower(server)
        await follower.open(f"{EVENTS}&follow=1&after={first.epoch}-4")
        position = await follower.until("position")
        assert (position["generation"], position["cursor"]) == (generations[0], f"{first.epoch}-4")
        for generation in generations[1:]:
            assert (await follower.until("position"))["generation"] == generation
        await follower.until("finished")
        await follower.close()


async def test_one_that_goes_while_it_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was listed and is gone a moment later is as if it had gone before, and no 404, after which no
    `EventSource` would come again."""
    async with serving() as server:
        generation = await start(server.address, **QUICK)
        await server.finished(generation)
        epoch = (await server.log(generation)).epoch
        look = server.sessions.conversation

        async def stale(*asked: Any) -> Sequence[EventLog]:
            found = await look(*asked)
            for log in found:
                await server.sessions.erase(ANONYMOUS, log.meta.generation)
            return found

        monkeypatch.setattr(server.sessions, "conversation", stale)
        assert (await request(server.address, "GET", f"{EVENTS}&after={epoch}-1")).status == 204


async def test_a_foreign_cursor_is_reset() -> None:
    """What was never of this conversation is answered with everything of the active one."""
    async with serving() as server:
        generation = await start(server.address, **ENDLESS)
        follower = Follower(server)
        await follower.open(f"{EVENTS}&after=zzz-5")
        position = await follower.until("position")
        assert (position["generation"], position["reset"]) == (generation, "branch")
        assert json.dumps(await follower.until("started"))
        await follower.close()
