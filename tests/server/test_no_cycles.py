"""What is over is let go at once: a full garbage collection stops every stream, so nothing may need one."""

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from realtime.prompt import Prompt
from realtime.providers.base import Provider
from realtime.providers.generator import GeneratorProvider
from realtime.providers.openai import OpenAIProvider
from tests.support.http import request, start, stop
from tests.support.observer import Observer
from tests.support.raw import WIRES, connection
from tests.support.server import RunningServer, serving
from tests.upstream import RESET, STALL, Exchange, Reply, Upstream, chat

Life = Callable[[RunningServer], Awaitable[None]]


async def _broken(prompt: Prompt) -> AsyncIterator[str]:
    yield "a"
    raise ValueError("b")


async def _watched(server: RunningServer) -> None:
    generation = await start(server.address, model="demo/tools", options={"tokens": 20, "rate": 2000})
    for wire in WIRES:
        await Observer(generation, wire).watch(server.address, wire)


async def _left(server: RunningServer) -> None:
    generation = await start(server.address, model="demo/default", options={"tokens": 9000, "rate": 500})
    for wire in WIRES:
        left = connection(server.address, wire)
        await left.open(generation, None, {})
        await anext(aiter(left.frames()))
        await left.close()
    await stop(server.address, generation)
    await server.finished(generation)


async def _failed(server: RunningServer) -> None:
    for fault in ("error", "truncate", "garbage"):
        options = {"tokens": 20, "rate": 2000, "fault": fault, "fault_after": 3}
        await server.finished(await start(server.address, model="demo/default", options=options))
    await server.finished(await start(server.address, model="broken/default"))


async def _upstream(server: RunningServer) -> None:
    for model, outcome in (("whole", "completed"), ("cut", "failed"), ("refused", "failed")):
        log = await server.finished(await start(server.address, model=f"openai/{model}", options={}))
        assert log.finished is not None
        assert log.finished.outcome == outcome
    await server.finished(await start(server.address, model="nowhere/m", options={}))
    generation = await start(server.address, model="openai/silent", options={})
    await server.reached(generation, 3)
    await stop(server.address, generation)
    await server.finished(generation)


def _answer(exchange: Exchange) -> Reply:
    match exchange.body["model"]:
        case "whole":
            return Reply(chat.text("a"))
        case "cut":
            return Reply([*chat.text("a", finish=None), RESET])
        case "silent":
            return Reply([*chat.text("a", finish=None), STALL])
    return Reply.json({"error": {"message": "no"}}, 400)


@pytest.mark.parametrize("life", [_watched, _left, _failed, _upstream])
async def test_nothing_waits_for_the_collector(life: Life) -> None:
    """Neither a generation nor an observer, however it ended."""
    async with Upstream(_answer) as upstream, serving(_providers(upstream)) as server:
        await life(server)
        gc.collect()
        gc.disable()
        try:
            await life(server)
            await _until_quiet(server)
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            left = Counter(type(one).__qualname__ for one in gc.garbage if _is_ours(one))
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert left == Counter()


async def test_a_server_that_has_ended_keeps_nothing_from_the_collector() -> None:
    """What a server sets aside from collections while it runs is given back when the process goes on without it."""
    gc.unfreeze()
    async with serving():
        assert gc.get_freeze_count() > 0
        threshold = gc.get_threshold()
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() != threshold


def _providers(upstream: Upstream) -> dict[str, Provider]:
    return {
        "broken": GeneratorProvider(_broken),
        "openai": OpenAIProvider("key", f"{upstream.url}/v1"),
        "nowhere": OpenAIProvider("key", "http://127.0.0.1:1/v1"),
    }


async def _until_quiet(server: RunningServer) -> None:
    async with asyncio.timeout(20):
        while server.application.service.open_streams or server.sessions.statistics().tasks:
            await request(server.address, "GET", "/livez")


def _is_ours(one: object) -> bool:
    return type(one).__module__.partition(".")[0] in ("realtime", "transports")
