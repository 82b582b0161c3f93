"""A response that is cut at any byte, on any wire, costs its reader nothing: it resumes and has the same transcript."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar

import pytest
import pytest_asyncio

from tests.history.checker import check
from tests.history.rows import Row
from tests.support.http import BrokenError, read_text, start
from tests.support.observer import Observer
from tests.support.proxy import Fault, Kind, proxied
from tests.support.raw import WIRES, WireName
from tests.support.recording import Recording
from tests.support.server import RunningServer, serving

from .chance import chance

Amount = Callable[[int, int], int]
T = TypeVar("T")

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow, pytest.mark.timeout(300)]

# Connections at once: enough to keep one core busy.
_AT_ONCE = 32
_KINDS: tuple[Kind, ...] = ("close", "reset", "half_close")
# Three events a write, so that a socket too has something between its first message and its last.
_PACE = "10000,3"
_TEXT = "Zürich “naïve” 木漏れ日 🧭 one two three\u2028 four, five and six and seven more"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def recording() -> Recording:
    """What the server's writers did."""
    return Recording()


@pytest_asyncio.fixture(loop_scope="module", scope="module", name="server")
async def _server(recording: Recording) -> AsyncIterator[RunningServer]:
    async with serving(prepare=recording.attach) as server:
        yield server


async def spoken(server: RunningServer) -> str:
    """A generation that has ended, of about 2 kB on each wire."""
    generation = await start(server.address, model="demo/default", options={"rate": 10_000, "text": _TEXT})
    await server.finished(generation)
    return generation


def every_cut(length: int, kinds: int) -> list[Fault]:
    """A cut at each byte, of one kind by turns or of so many."""
    first = chance().randrange(len(_KINDS))
    return [Fault(at, _KINDS[(first + at + n) % len(_KINDS)]) for n in range(kinds) for at in range(length)]


async def gather_bounded(work: Callable[[int], Awaitable[T]], items: Iterable[int]) -> list[T]:
    """All results, `_AT_ONCE` at work at any time."""
    results: list[T] = []
    waiting = iter(items)

    async def worker() -> None:
        results.extend([await work(item) for item in waiting])

    await asyncio.gather(*(worker() for _ in range(_AT_ONCE)))
    return results


@pytest.mark.parametrize("wire", WIRES)
async def test_a_cut_at_every_byte(server: RunningServer, recording: Recording, wire: WireName, amount: Amount) -> None:
    """Every byte of a response, its head included: each cut is resumed without a reset, a gap or a duplicate."""
    generation = await spoken(server)
    rows: list[Row] = []
    whole = Observer(generation, "whole")
    async with proxied(server.address) as proxy:
        await whole.watch(proxy.address, wire, pace=_PACE)
        length = proxy.passed[0]
    assert 1_500 < length < 4_000
    cuts = every_cut(length, amount(1, len(_KINDS)))
    async with proxied(server.address, cuts.pop) as proxy:

        async def one(name: int) -> tuple[Observer, int]:
            observer = Observer(generation, f"cut {name}", rows)
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
    written = [row for row in recording.rows if row.generation == generation]
    assert check([*written, *rows]) == []


async def test_a_cut_text_is_no_whole_one(server: RunningServer, amount: Amount) -> None:
    """The text wire has no place to go on from: cut at any byte it is a prefix, and does not look like an answer."""
    generation = await spoken(server)
    async with proxied(server.address) as proxy:
        whole = await read_text(proxy.address, generation)
        length = proxy.passed[0]
    head = length - len(whole.body)
    assert whole.complete
    cuts = every_cut(length, amount(1, len(_KINDS)))
    bodies: set[bytes] = set()
    async with proxied(server.address, cuts.pop) as proxy:

        async def one(_: int) -> None:
            try:
                answer = await read_text(proxy.address, generation)
            except BrokenError:
                return
            assert whole.body.startswith(answer.body)
            assert not answer.complete
            bodies.add(answer.body)

        await gather_bounded(one, range(len(cuts)))
    assert cuts == []
    assert len(bodies) > (length - head) // 2
