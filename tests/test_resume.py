"""Resuming: every cursor on every wire, wires switched on the way, and each row of the protocol's table of answers."""

import asyncio
from collections.abc import AsyncIterator
from itertools import chain
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.prompt import Prompt
from realtime.providers.generator import GeneratorProvider
from tests.history.checker import check
from tests.support.http import read_text, start, stop
from tests.support.observer import Observer
from tests.support.raw import WIRES, HttpConnection, SocketConnection, WireName
from tests.support.server import RunningServer, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNKNOWN = "0" * 32
MALFORMED = (
    "",
    "x",
    "7",
    "a-",
    "-1",
    "a-01",
    "a-+1",
    "a-1.0",
    "a--1",
    "a-1-1",
    "A-1",
    "a_1",
    "a-1 ",
    " a-1",
    "a-1\n",
    "a-1\x00",
    "a-\u0661",
    "\uff41-1",
    "a" * 13 + "-1",
    "a-" + "1" * 16,
    "a" * 4000,
)


@pytest_asyncio.fixture(loop_scope="module", scope="module", name="server")
async def _server() -> AsyncIterator[RunningServer]:
    async with serving() as server:
        yield server


async def ended(server: RunningServer, tokens: int = 25, **body: Any) -> Observer:
    """A generation that has ended, and one who has it all."""
    generation = await start(server.address, model="demo/tools", options={"tokens": tokens, "rate": 50_000}, **body)
    await server.finished(generation)
    whole = Observer(generation, "whole")
    await whole.watch(server.address, "sse")
    return whole


def head_and_epoch(observer: Observer) -> tuple[int, str]:
    """The number of the last event, and the branch."""
    assert observer.cursor is not None
    epoch, _, seq = observer.cursor.rpartition("-")
    return int(seq), epoch


def position(whole: Observer, seq: int, reset: str | None = None) -> dict[str, Any]:
    """The control frame that an observation of an ended log begins with."""
    head, epoch = head_and_epoch(whole)
    return {
        "type": "position",
        "generation": whole.generation,
        "cursor": f"{epoch}-{seq}",
        "head": f"{epoch}-{head}",
        "state": "finished",
        "reset": reset,
    }


def text_of(events: list[dict[str, Any]]) -> str:
    """What the text wire says of these events."""
    return "".join(event["text"] for event in events if event["type"] == "text")


@pytest.mark.parametrize("wire", WIRES)
async def test_every_cursor_of_an_ended_log(server: RunningServer, wire: WireName) -> None:
    """From any place of a log that has ended comes exactly what is after it, and nothing after the last."""
    whole = await ended(server)
    head, epoch = head_and_epoch(whole)
    observers = [Observer(whole.generation, f"after {seq}") for seq in range(head + 1)]
    ends = await asyncio.gather(
        *(observer.watch(server.address, wire, after=f"{epoch}-{seq}") for seq, observer in enumerate(observers))
    )
    for seq, (observer, end) in enumerate(zip(observers, ends, strict=True)):
        assert end.why == "ended"
        assert observer.events == whole.events[seq:]
        assert observer.controls == ([position(whole, seq)] if seq < head else [])
    assert check([*whole.rows, *chain(*(observer.rows for observer in observers))], ledger=False) == []


async def test_every_cursor_on_the_text_wire(server: RunningServer) -> None:
    """The text wire names no cursors and takes all of them."""
    whole = await ended(server)
    head, epoch = head_and_epoch(whole)
    answers = await asyncio.gather(
        *(read_text(server.address, whole.generation, after=f"{epoch}-{seq}") for seq in range(head + 1))
    )
    for seq, answer in enumerate(answers):
        assert answer.status == (204 if seq == head else 200)
        assert answer.body.decode() == text_of(whole.events[seq:])
        assert answer.complete


steps = st.lists(st.tuples(st.sampled_from(WIRES), st.integers(0, 12)), max_size=8)


@settings(max_examples=40, deadline=None)
@given(steps=steps, tokens=st.integers(1, 60), rate=st.sampled_from((300, 2000, 50_000)))
async def test_any_walk_over_the_wires_gives_the_transcript(
    server: RunningServer, steps: list[tuple[WireName, int]], tokens: int, rate: int
) -> None:
    """Leaving anywhere and coming back on any wire, while it runs or after, adds up to what one observer has."""
    options = {"tokens": tokens, "rate": rate}
    generation = await start(server.address, model="demo/reasoning", options=options)
    walker, whole = Observer(generation, "walker"), Observer(generation, "whole")
    steady = asyncio.create_task(whole.watch(server.address, "ndjson"))
    for wire, count in steps:
        await walker.watch(server.address, wire, count=count)
    await walker.follow(server.address, steps[0][0] if steps else "sse")
    await steady
    assert walker.events == whole.events
    assert walker.resets == []
    assert check(walker.rows + whole.rows, ledger=False) == []


@settings(max_examples=25, deadline=None)
@given(walks=st.lists(steps, min_size=2, max_size=5), stop_at=st.integers(2, 30))
async def test_any_walk_over_the_wires_of_what_is_stopped(
    server: RunningServer, walks: list[list[tuple[WireName, int]]], stop_at: int
) -> None:
    """Several who come and go agree about a generation that somebody stops under them."""
    generation = await start(server.address, model="demo/default", options={"tokens": 9999, "rate": 1000})
    rows: list[Any] = []

    async def walk(number: int, steps: list[tuple[WireName, int]]) -> Observer:
        walker = Observer(generation, f"walker {number}", rows)
        for wire, count in steps:
            await walker.watch(server.address, wire, count=count)
        await walker.follow(server.address, WIRES[number % len(WIRES)])
        return walker

    walking = [asyncio.create_task(walk(number, steps)) for number, steps in enumerate(walks)]
    await server.reached(generation, stop_at)
    await stop(server.address, generation)
    walkers = await asyncio.gather(*walking)
    assert {walker.events[-1]["outcome"] for walker in walkers} == {"stopped"}
    assert all(walker.events == walkers[0].events for walker in walkers)
    assert check(rows, ledger=False) == []


# The table of answers in PROTOCOL.md, section 6.


@pytest.mark.parametrize("wire", WIRES)
async def test_no_cursor_and_the_place_before_the_first_event(server: RunningServer, wire: WireName) -> None:
    """Without a cursor, and with `<epoch>-0`, everything comes, and neither is a reset."""
    whole = await ended(server)
    _, epoch = head_and_epoch(whole)
    for after in (None, f"{epoch}-0"):
        observer = Observer(whole.generation)
        await observer.watch(server.address, wire, after=after)
        assert observer.controls == [position(whole, 0)]
        assert observer.events == whole.events


@pytest.mark.parametrize("wire", WIRES)
async def test_the_last_of_an_ended_log(server: RunningServer, wire: WireName) -> None:
    """Who has it all is told so, by 204 or by an `ok` that nothing follows; never by an empty stream."""
    whole = await ended(server)
    end = await whole.watch(server.address, wire)
    assert end == (101 if wire.startswith("ws") else 204, "ended", None)
    assert len(whole.controls) == 1
    if wire.startswith("ws"):
        socket = SocketConnection(server.address, wire)
        await socket.connect()
        reply = await socket.command("observe", generation=whole.generation, after=whole.cursor)
        told = {"generation": whole.generation, "state": "finished", "cursor": whole.cursor}
        assert reply == {"type": "ok", "ref": "ref", **told}
        # What an observation says comes before the reply to the second of these.
        for ref in (1, 2):
            assert await socket.command("ping", ref) == {"type": "ok", "ref": ref}
        await socket.close()


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("live", [True, False], ids=["live", "ended"])
async def test_a_place_that_is_on_no_branch(server: RunningServer, wire: WireName, *, live: bool) -> None:
    """A cursor ahead of the head, or of another epoch, is answered by a reset and then by everything."""
    other = await ended(server)
    generation = await start(
        server.address, model="demo/default", options={"tokens": 20, "rate": 20 if live else 50_000}
    )
    log = await (server.reached(generation, 3) if live else server.finished(generation))
    foreign = [other.cursor, f"{head_and_epoch(other)[1]}-0", "0-0", "zzzzzzzzzzzz-1", f"{log.epoch}0-1"]
    ahead = [f"{log.epoch}-{n}" for n in (log.head + 1 + 1000 * live, 999_999_999_999_999)]
    observers = [Observer(generation, f"with {cursor}") for cursor in (*foreign, *ahead)]
    watching = [
        asyncio.create_task(observer.watch(server.address, wire, after=cursor))
        for observer, cursor in zip(observers, (*foreign, *ahead), strict=True)
    ]
    await stop(server.address, generation)
    await asyncio.gather(*watching)
    whole = Observer(generation)
    await whole.watch(server.address, wire)
    for observer in observers:
        assert observer.resets == ["branch"]
        assert observer.controls[0]["cursor"] == f"{log.epoch}-0"
        assert observer.events == whole.events
        assert check([*observer.rows, *whole.rows], ledger=False) == []


@pytest.mark.parametrize("wire", WIRES)
async def test_a_malformed_cursor_is_refused(server: RunningServer, wire: WireName) -> None:
    """What is no cursor is a `bad_cursor`, whatever it is instead, and a socket lives on after it."""
    whole = await ended(server)
    for cursor in MALFORMED:
        refused = Observer(whole.generation)
        end = await refused.watch(server.address, wire, after=cursor)
        assert end.error is not None, cursor
        assert end.error["code"] == "bad_cursor", cursor
        assert end.status == (101 if wire.startswith("ws") else 400)
        assert refused.controls == []
    if wire.startswith("ws"):
        socket = SocketConnection(server.address, wire)
        await socket.connect()
        for odd in ("", 7, ["a-1"], {"a": 1}, True):
            reply = await socket.command("observe", generation=whole.generation, after=odd)
            assert reply["error"]["code"] in {"bad_cursor", "bad_request"}
            assert reply["error"]["field"] == "after"
        assert (await socket.command("ping", 7)) == {"type": "ok", "ref": 7}
        await socket.close()


@pytest.mark.parametrize("wire", WIRES)
async def test_a_generation_that_is_not_there(server: RunningServer, wire: WireName) -> None:
    """With any cursor and with none, an unknown generation is the same `not_found`."""
    whole = await ended(server)
    for cursor in (None, whole.cursor, "a-0", "0-1"):
        end = await Observer(UNKNOWN).watch(server.address, wire, after=cursor)
        assert end.error is not None
        assert end.error["code"] == "not_found"
        assert end.status == (101 if wire.startswith("ws") else 404)


@pytest.mark.parametrize("wire", ["sse", "ndjson"])
async def test_last_event_id_wins(server: RunningServer, wire: WireName) -> None:
    """A browser sends the header by itself and means it; the query is what the page was loaded with."""
    whole = await ended(server)
    head, epoch = head_and_epoch(whole)
    for header, after, expected in [
        (f"{epoch}-5", f"{epoch}-2", 5),
        (f"{epoch}-2", f"{epoch}-5", 2),
        (f"{epoch}-5", None, 5),
        (f"{epoch}-5", "not a cursor", 5),
        (f"{epoch}-{head}", f"{epoch}-5", head),
        ("", f"{epoch}-5", 5),
    ]:
        observer = Observer(whole.generation)
        if after is not None:
            observer.resume_from(after)
        await observer.watch_over(HttpConnection(server.address, wire, last_event_id=header))
        assert observer.events == whole.events[expected:], (header, after)
    end = await whole.watch_over(HttpConnection(server.address, wire, last_event_id="not a cursor"))
    assert end.error is not None
    assert end.error["code"] == "bad_cursor"


async def test_the_table_on_the_text_wire(server: RunningServer) -> None:
    """The text wire cannot say `reset`, so it refuses where that is the answer, and else answers as the others do."""
    whole = await ended(server)
    head, epoch = head_and_epoch(whole)
    answer = await read_text(server.address, whole.generation, after=f"{epoch}-0")
    assert (answer.status, answer.complete, answer.body.decode()) == (200, True, whole.text)
    for after in (f"{epoch}-{head + 1}", "0-7", *MALFORMED):
        answer = await read_text(server.address, whole.generation, after=after)
        assert (answer.status, answer.json()["code"]) == (400, "bad_cursor")
    answer = await read_text(server.address, UNKNOWN, after=whole.cursor)
    assert (answer.status, answer.json()["code"]) == (404, "not_found")
    header = {"Last-Event-ID": f"{epoch}-{head}"}
    assert (await read_text(server.address, whole.generation, headers=header, after="0-7")).status == 204


@pytest.mark.parametrize("wire", WIRES)
async def test_a_place_that_is_no_longer_kept(wire: WireName) -> None:
    """Of a windowed log, an attached observer misses nothing, and one who comes too late is told `trimmed`."""
    gate = asyncio.Event()

    async def words(_: Prompt) -> AsyncIterator[str]:
        await gate.wait()
        for n in range(1500):
            yield f"word {n} "

    async with serving({"own": GeneratorProvider(words)}, window_events=16) as server:
        generation = await start(server.address, model="own/default", retain="window")
        attached = Observer(generation, "attached")
        watching = asyncio.create_task(attached.watch(server.address, wire))
        async with asyncio.timeout(20):
            await attached.began.wait()
        gate.set()
        assert (await watching).why == "ended"
        assert attached.resets == []
        log = await server.log(generation)
        assert log.trimmed > 256
        late, old, kept = (Observer(generation, name, attached.rows) for name in ("late", "old", "kept"))
        await late.watch(server.address, wire)
        await old.watch(server.address, wire, after=attached.events[log.trimmed - 2]["id"])
        await kept.watch(server.address, wire, after=attached.events[log.trimmed - 1]["id"])
        for observer in (late, old):
            assert observer.resets == ["trimmed"]
            assert observer.controls[0]["cursor"] == f"{log.epoch}-0"
            assert observer.events == attached.events[log.trimmed :]
        assert kept.resets == []
        assert kept.events == attached.events[log.trimmed :]
        assert check(attached.rows, ledger=False) == []
