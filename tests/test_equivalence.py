"""One generation, every wire: whoever watches, however and from whenever, ends up with the same transcript."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from realtime.prompt import Prompt
from realtime.providers.generator import GeneratorProvider
from tests.support.http import Response, read_text, start, stop
from tests.support.observer import Observer
from tests.support.raw import JSON_WIRES, WIRES, WireName
from tests.support.server import RunningServer, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRICKY = 'é\u2028\u2029\u0085 "quoted" \\ \x00\x1f {json} 木漏れ日 👩‍👩‍👧 data: x\r\n\r\nid: 1\n\n'


class Case(NamedTuple):
    """A generation to start, and how it is to end."""

    body: dict[str, Any]
    outcome: str
    reason: str | None = None
    error: str | None = None
    stop_at: int | None = None


@pytest_asyncio.fixture(loop_scope="module", scope="module", name="server", params=[True, False], ids=["short", "long"])
async def _server(request: pytest.FixtureRequest) -> AsyncIterator[RunningServer]:
    """By the short way to the socket, as `realtime serve` does it, and through ASGI, as another server would."""
    async with serving(direct=request.param) as server:
        yield server


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
    text: Response


async def watch_everywhere(server: RunningServer, generation: str) -> Watched:
    """Observe on every wire, from the beginning to the end."""
    observers = [Observer(generation, wire) for wire in WIRES]
    watching = (observer.watch(server.address, wire) for observer, wire in zip(observers, WIRES, strict=True))
    text, *ends = await asyncio.gather(read_text(server.address, generation), *watching)
    assert {end.why for end in ends} == {"ended"}
    return Watched(observers, text)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_all_wires_and_all_times_give_one_transcript(server: RunningServer, case: Case) -> None:
    """Whether observed from the start, from the middle or after the end, each wire gives the same events."""
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
    texts = [group.text for group in watched]
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


VIEWS: dict[str, dict[str, Any]] = {
    "pace": {"pace": "300"},
    "pace-with-burst": {"pace": "500,7"},
    "flush": {"flush_ms": 20},
    "flush-of-zero": {"flush_ms": 0},
    "json-view": {"view": "json"},
    "all-at-once": {"pace": "1000,20", "view": "json", "flush_ms": 30},
}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("options", VIEWS.values(), ids=VIEWS)
async def test_a_view_changes_no_transcript(server: RunningServer, wire: WireName, options: dict[str, Any]) -> None:
    """Smoothing, coalescing and parsing are one observer's affair: it gets the same events, and so do the others."""
    generation = await start(server.address, **demo("json"))
    viewing, plain, late = (Observer(generation, wire) for _ in range(3))
    await asyncio.gather(viewing.watch(server.address, wire, **options), plain.watch(server.address, wire))
    await late.watch(server.address, wire, **options)
    same_everywhere([plain, viewing, late])


@pytest.mark.parametrize("wire", WIRES)
async def test_the_json_view_ends_with_the_value_of_the_text(server: RunningServer, wire: WireName) -> None:
    """The frames of `view=json` grow towards what the whole text parses to, and the last says that it is final."""
    said, gate = json.dumps({"words": ["one", "two", "three"], "n": 1}), asyncio.Event()

    async def words(_: Prompt) -> AsyncIterator[str]:
        yield said[:20]
        await gate.wait()
        yield said[20:]

    server.sessions.catalogue.add(wire, GeneratorProvider(words))
    generation = await start(server.address, model=f"{wire}/default")
    early, late = Observer(generation, wire), Observer(generation, wire)
    watching = asyncio.create_task(early.watch(server.address, wire, view="json"))
    async with asyncio.timeout(20):
        await early.viewed.wait()
    gate.set()
    await watching
    await late.watch(server.address, wire, view="json")
    for observer in (early, late):
        views = [control for control in observer.controls if control["type"] == "json"]
        assert views[-1] == {
            "type": "json",
            "generation": generation,
            "value": json.loads(observer.text),
            "final": True,
        }
        assert [view["final"] for view in views].count(True) == 1
    growing = [control["value"] for control in early.controls if control["type"] == "json"]
    assert len(growing) > 1
    sizes = [len(json.dumps(value)) for value in growing]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("model", ["default", "reasoning", "tools"])
async def test_a_merged_replay_says_the_same_in_fewer_events(server: RunningServer, wire: WireName, model: str) -> None:
    """Adjacent deltas are joined up to 64 KiB, with the id and time of the last, from the cursor to the head."""
    text = TRICKY * 1200
    generation = await start(server.address, **demo(model, text=text, tokens=200_000, rate=100_000))
    await server.finished(generation)
    whole = Observer(generation, wire)
    await whole.watch(server.address, wire)
    for after in (0, 2, 5000, len(whole.events) - 2, len(whole.events) - 1):
        merged = Observer(generation, wire)
        cursor = whole.events[after - 1]["id"] if after else None
        await merged.watch(server.address, wire, after=cursor, replay="merged")
        assert unmerged(merged.events, whole.events[after:])


@pytest.mark.parametrize("wire", WIRES)
async def test_a_merged_replay_goes_on_as_it_comes(server: RunningServer, wire: WireName) -> None:
    """What is said after the attach is not held back to be joined, and a cursor of either replay resumes the other."""
    generation = await start(server.address, **demo("reasoning", reasoning=True, tokens=100_000, rate=200))
    await server.reached(generation, 20)
    observer = Observer(generation, wire)
    end = await observer.watch(server.address, wire, replay="merged", count=6)
    assert end.why == "left"
    await stop(server.address, generation)
    await observer.watch(server.address, wire)
    whole = Observer(generation, wire)
    await whole.watch(server.address, wire)
    assert unmerged(observer.events, whole.events)
    assert len(observer.events) < len(whole.events)


def unmerged(merged: list[dict[str, Any]], events: list[dict[str, Any]]) -> bool:
    """Whether `merged` stands for exactly `events`: assert says where it does not."""
    ahead = iter(events)
    for event in merged:
        members = [next(ahead)]
        while members[-1]["id"] != event["id"]:
            members.append(next(ahead))
        if len(members) == 1:
            assert event == members[0]
            continue
        assert event["type"] in {"text", "reasoning", "refusal", "tool_arguments"}
        text = "".join(member["text"] for member in members)
        assert event == {**members[-1], "text": text}
        assert len(text.encode()) <= 65536
        assert {(member["type"], member.get("part"), member.get("call")) for member in members} == {
            (event["type"], event.get("part"), event.get("call"))
        }
    return next(ahead, None) is None
