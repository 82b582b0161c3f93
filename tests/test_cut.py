"""A response that is cut at any byte, on any wire, costs its reader nothing: it resumes and has the same transcript."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar

import pytest
import pytest_asyncio

from tests.history.checker import check
from tests.support.http import start
from tests.support.observer import Observer
from tests.support.proxy import Fault, Kind, proxied
from tests.support.raw import WIRES, WireName
from tests.support.server import RunningServer, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Connections at once: enough to keep one core busy.
_AT_ONCE = 32
_KINDS: tuple[Kind, ...] = ("close", "reset", "half_close")
# Three events a write, so that a socket too has something between its first message and its last.
_PACE = "10000,3"
# A prime, so that a sample meets all places of a frame.
_STRIDE = 13

T = TypeVar("T")


@pytest_asyncio.fixture(loop_scope="module", scope="module", name="server")
async def _server() -> AsyncIterator[RunningServer]:
    async with serving() as server:
        yield server


async def cut_everywhere(server: RunningServer, wire: WireName, places: slice) -> int:
    """Cut a recorded response at those of its bytes, resume each time, and compare.

    Returns:
        The bytes of the response, its head included.
    """
    text = "Zürich “naïve” 木漏れ日 🧭 one two three\u2028 four, five and six and seven more"
    generation = await start(server.address, model="demo/default", options={"rate": 10_000, "text": text})
    await server.finished(generation)
    whole = Observer(generation, "whole")
    async with proxied(server.address) as proxy:
        await whole.watch(proxy.address, wire, pace=_PACE)
        length = proxy.passed[0]
    cuts = [Fault(at, _KINDS[at % len(_KINDS)]) for at in range(length)[places]]
    async with proxied(server.address, cuts.pop) as proxy:

        async def one(name: int) -> tuple[Observer, int]:
            observer = Observer(generation, f"cut {name}")
            end = await observer.watch(proxy.address, wire, pace=_PACE)
            assert end.why in {"cut", "ended"}, end
            held = len(observer.frames)
            await observer.follow(server.address, wire)
            return observer, held

        results = await gather_bounded(one, range(len(cuts)))
    assert cuts == []
    assert sum(observer.connections for observer, _ in results) > len(results)
    # Some lost everything, some nothing but the end, and some were cut in between.
    assert {held for _, held in results} >= {0, 3, 6, 9}
    for observer, _ in results:
        assert observer.resets == []
        assert observer.frames == whole.frames
        assert check(observer.rows, ledger=False) == []
    return length


async def gather_bounded(work: Callable[[int], Awaitable[T]], items: Iterable[int]) -> list[T]:
    """All results, `_AT_ONCE` at work at any time."""
    results: list[T] = []
    waiting = iter(items)

    async def worker() -> None:
        results.extend([await work(item) for item in waiting])

    await asyncio.gather(*(worker() for _ in range(_AT_ONCE)))
    return results


@pytest.mark.parametrize("wire", WIRES)
async def test_a_cut_anywhere_is_resumed(server: RunningServer, wire: WireName) -> None:
    """A sample of all bytes, another one in every run: each cut is resumed without a reset, a gap or a duplicate."""
    await cut_everywhere(server, wire, slice(random.randrange(_STRIDE), None, _STRIDE))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("wire", WIRES)
async def test_a_cut_at_every_byte_is_resumed(server: RunningServer, wire: WireName) -> None:
    """All bytes of a response of about 2 kB, its head included."""
    length = await cut_everywhere(server, wire, slice(None))
    assert 1_500 < length < 4_000
