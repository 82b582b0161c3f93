"""The owner of background tasks."""

import asyncio
import contextvars
import gc
import logging

import pytest

from realtime.tasks import TaskRegistry

_request = contextvars.ContextVar("request", default="none")


async def test_a_task_lives_until_it_is_done() -> None:
    """The registry holds it, though nobody else does, and lets go of it afterwards."""
    registry, gate = TaskRegistry(), asyncio.Event()
    registry.spawn(gate.wait(), "waiting")
    gc.collect()
    assert len(registry) == 1
    assert not await registry.drain(0)
    gate.set()
    assert await registry.drain(20)
    assert len(registry) == 0


async def test_a_failure_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody awaits these tasks, so their exceptions must not be lost; a cancelled one is no failure."""

    async def fail() -> None:
        raise ZeroDivisionError

    registry = TaskRegistry()
    with caplog.at_level(logging.ERROR):
        registry.spawn(fail(), "failing")
        registry.spawn(asyncio.sleep(3600), "cancelled").cancel()
        assert await registry.drain(20)
    assert [record.message for record in caplog.records] == ["task failing failed"]


async def test_a_task_does_not_inherit_the_request() -> None:
    """What a request carries in its context ends with the request."""
    seen = []

    async def look() -> None:
        seen.append(_request.get())

    _request.set("alice")
    registry = TaskRegistry()
    registry.spawn(look(), "looking")
    assert await registry.drain(20)
    assert seen == ["none"]


async def test_a_drain_waits_for_what_is_spawned_meanwhile() -> None:
    """The end of a generation spawns its settling; a drain must see that too."""
    registry, seen = TaskRegistry(), list[str]()

    async def second() -> None:
        seen.append("second")

    async def first() -> None:
        registry.spawn(second(), "second")

    registry.spawn(first(), "first")
    assert await registry.drain(20)
    assert seen == ["second"]
