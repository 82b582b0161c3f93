"""The same again takes no more: what a server holds after a run and after an identical one; what an ended log keeps."""

import gc
import sys
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import pytest

from realtime.log import EventLog
from tests.support.http import request, start
from tests.support.observer import Observer
from tests.support.raw import WIRES
from tests.support.recording import Recording
from tests.support.server import serving

from .churn import Churn
from .inspected import inspected
from .judged import Judged
from .life import ForgetfulUpstream
from .soaking import counts_at_rest, grown, settings

_LIVES = 80
_RSS_RATIO = 1.05
# Of 700,000 small objects in all. A list or a cache here and there grows; one for each of 7,000 events is a leak.
_BLOCKS = 2_000
_ASKED: tuple[dict[str, Any], ...] = ({}, {"replay": "merged"}, {"view": "json"}, {"flush_ms": 10})
# None is in the memory of a log: they are there anyway.
_SHARED = (type, ModuleType, FunctionType, BuiltinFunctionType)


@pytest.mark.slow
async def test_the_same_again_takes_no_more() -> None:
    """After eighty lives with drops and stops on all wires, and the same eighty again, the process holds the same."""
    judged, upstream = Judged(), ForgetfulUpstream()
    async with upstream, inspected(judged.wrote, **settings(upstream, 600)) as server:
        # The first is for what is made once: pools, caches, labels, and the most that was ever alive at one time.
        await counts_at_rest(Churn(server, judged, 7), upstream, lives=_LIVES)
        first = await counts_at_rest(Churn(server, judged, 7), upstream, lives=_LIVES)
        again = await counts_at_rest(Churn(server, judged, 7), upstream, first, _LIVES)
    assert grown(first, again) == []
    assert again.rss_bytes <= first.rss_bytes * _RSS_RATIO
    assert again.blocks <= first.blocks + _BLOCKS
    assert judged.findings + server.errors == []
    assert judged.judged >= 3 * _LIVES


async def test_an_ended_log_keeps_nothing_of_its_observers() -> None:
    """One that was observed on every wire, with and without views and merging, weighs what an unobserved one does."""
    recording = Recording()
    async with serving(prepare=recording.attach) as server:
        asked: dict[str, Any] = {"model": "demo/json", "options": {"tokens": 200, "rate": 2000, "seed": 3}}
        alone, watched = [await start(server.address, **asked) for _ in range(2)]
        await server.finished(alone)
        for wire in WIRES:
            for options in _ASKED:
                await Observer(watched, wire).watch(server.address, wire, **options)
        answer = await request(server.address, "GET", f"/v1/generations/{watched}")
        assert answer.status == 200
        log = await server.finished(watched)
        for _ in range(len(WIRES) * len(_ASKED)):
            await recording.left.get()
        assert log.observers == 0
        assert _weight(log) <= 1.02 * _weight(await server.log(alone))


def _weight(log: EventLog) -> int:
    """Bytes of everything that is reachable from a log."""
    gc.collect()
    seen: dict[int, Any] = {}
    found: list[Any] = [log]
    while found:
        thing = found.pop()
        if id(thing) not in seen and not isinstance(thing, _SHARED):
            seen[id(thing)] = thing
            found.extend(gc.get_referents(thing))
    return sum(sys.getsizeof(thing) for thing in seen.values())
