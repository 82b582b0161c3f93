"""One generation, every wire: whoever watches, however and from whenever, ends up with the same transcript."""

import asyncio
import json
from typing import Any, NamedTuple

import pytest

from tests.support.http import Response, read_text, start, stop
from tests.support.observer import Observer
from tests.support.raw import JSON_WIRES, WIRES
from tests.support.server import RunningServer, serving

TRICKY = 'é\u2028\u2029\u0085 "quoted" \\ \x00\x1f {json} 木漏れ日 👩‍👩‍👧 data: x\r\n\r\nid: 1\n\n'


class Case(NamedTuple):
    """A generation to start, and how it is to end."""

    body: dict[str, Any]
    outcome: str
    reason: str | None = None
    error: str | None = None
    stop_at: int | None = None


def demo(model: str = "default", *, tokens: int = 40, rate: int = 400, **options: Any) -> dict[str, Any]:
    """A request for the demo that takes about a tenth of a second."""
    return {"model": f"demo/{model}", "options": {"tokens": tokens, "rate": rate, **options}}


CASES = {
    "default": Case(demo(), "completed", "stop"),
    "reasoning": Case(demo("reasoning"), "completed", "stop"),
    "tools": Case(demo("tools"), "completed", "tool_calls"),
    "json": Case(demo("json"), "completed", "stop"),
    "all-kinds": Case(demo("tools", reasoning=True), "completed", "tool_calls"),
    "tricky-text": Case(demo(text=TRICKY), "completed", "stop"),
    "length": Case({**demo(), "max_tokens": 12}, "completed", "length"),
    "stop-sequence": Case({**demo(text="one two three four five"), "stop": ["three"]}, "completed", "stop"),
    "refusal": Case(demo(fault="refuse"), "completed", "refusal"),
    "stopped": Case(demo(tokens=100_000, rate=100), "stopped", stop_at=12),
    "failed-mid-stream": Case(demo(fault="error", fault_after=20), "failed", error="upstream_overloaded"),
    "truncated": Case(demo(fault="truncate", fault_after=20), "failed", error="upstream_truncated"),
    "garbage": Case(demo(fault="garbage", fault_after=20), "failed", error="upstream_protocol"),
    "failed-before-the-first": Case(demo(fault="error", fault_after=0), "failed", error="upstream_overloaded"),
}


class Watched(NamedTuple):
    """What observers of every wire have of one generation."""

    observers: list[Observer]
    texts: list[Response]


async def watch_everywhere(server: RunningServer, generation: str) -> Watched:
    """Observe on every wire, from the beginning to the end."""
    observers = [Observer(generation, wire) for wire in WIRES]
    watching = (observer.watch(server.address, wire) for observer, wire in zip(observers, WIRES, strict=True))
    ends, texts = await asyncio.gather(
        asyncio.gather(*watching), asyncio.gather(read_text(server.address, generation), return_exceptions=False)
    )
    assert {end.why for end in ends} == {"ended"}
    return Watched(observers, list(texts))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_all_wires_and_all_times_give_one_transcript(case: Case) -> None:
    """Whether observed from the start, from the middle or after the end, each wire gives the same events."""
    async with serving() as server:
        generation = await start(server.address, **case.body)
        groups = [asyncio.create_task(watch_everywhere(server, generation))]
        log = await server.log(generation)
        while log.head < (case.stop_at or 8) and log.finished is None:
            await log.wait(log.head)
        groups.append(asyncio.create_task(watch_everywhere(server, generation)))
        if case.stop_at is not None:
            assert (await stop(server.address, generation))["state"] == "stopping"
        await server.finished(generation)
        groups.append(asyncio.create_task(watch_everywhere(server, generation)))
        watched = await asyncio.gather(*groups)
    observers = [observer for group in watched for observer in group.observers]
    texts = [text for group in watched for text in group.texts]
    same_everywhere(observers)
    first = observers[0]
    ended = first.events[-1]
    assert (ended["outcome"], ended.get("reason")) == (case.outcome, case.reason)
    assert ended.get("error", {}).get("code") == case.error
    assert {text.body.decode() for text in texts} == {first.text}
    assert {text.complete for text in texts} == {case.outcome != "failed"}


def same_everywhere(observers: list[Observer]) -> None:
    """The transcripts are whole and equal: byte for byte where the wire is JSON, by value in msgpack."""
    first = observers[0]
    epoch = first.events[0]["id"].rpartition("-")[0]
    assert [event["id"] for event in first.events] == [f"{epoch}-{n}" for n in range(1, len(first.events) + 1)]
    assert [event["type"] for event in first.events].count("finished") == 1
    assert first.finished
    for observer in observers:
        assert observer.resets == []
        assert observer.events == first.events
        if observer.name in JSON_WIRES:
            assert observer.raws == first.raws
            assert all(
                raw is not None and json.loads(raw) == event
                for raw, event in zip(observer.raws, observer.events, strict=True)
            )
