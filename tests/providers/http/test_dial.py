"""Reaching a host of several addresses: the first to answer, whatever the others do, and nothing left of those."""

import asyncio
import gc
from collections import deque
from collections.abc import Iterator

import httpx2
import pytest

from realtime.providers.http import Transport, dial

from ...upstream import Reply, Upstream

# Nobody is there, and nothing says so: TEST-NET-1 of RFC 5737.
SILENT, REFUSES, ANSWERS = "192.0.2.1", "127.0.0.2", "127.0.0.1"


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The addresses of every host, in the order in which they are found."""
    found: list[str] = []

    async def addresses(_: object) -> deque[str]:
        return deque(found)

    monkeypatch.setattr(dial, "_addresses", addresses)
    return iter([found])


@pytest.mark.parametrize(
    "addresses", [[ANSWERS, SILENT], [SILENT, ANSWERS], [REFUSES, ANSWERS], [REFUSES, SILENT, ANSWERS]]
)
async def test_the_first_that_answers_is_taken(names: Iterator[list[str]], addresses: list[str]) -> None:
    """Whether the one before it refuses or says nothing."""
    next(names).extend(addresses)
    before = asyncio.all_tasks()
    async with Upstream(Reply.json({})) as upstream, httpx2.AsyncClient(transport=Transport()) as client:
        answer = await client.get(upstream.url.replace("127.0.0.1", "model.test"))
        assert answer.status_code == 200
        connections = upstream.connections
    await asyncio.sleep(0)
    left = {task for task in asyncio.all_tasks() - before if "_attempt" in str(task.get_coro())}
    assert (connections, left) == (1, set())


async def test_when_nobody_answers_the_last_fault_is_raised(names: Iterator[list[str]]) -> None:
    """And nothing of it waits for the collector."""
    next(names).extend([REFUSES, "127.0.0.3"])
    async with httpx2.AsyncClient(transport=Transport()) as client:
        gc.collect()
        gc.disable()
        try:
            with pytest.raises(httpx2.ConnectError):
                await client.get("http://model.test:1/")
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            left = [
                one for one in gc.garbage if getattr(type(one), "__module__", "").startswith("realtime.providers.http")
            ]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert left == []
