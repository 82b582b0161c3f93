"""A signal to a real process: nothing new begins, what runs ends well, and everyone is told."""

import asyncio
import json
import signal
from typing import Any

import pytest

from tests.support.http import Response, read_text, request, start
from tests.support.observer import End, Observer
from tests.support.parsers import Frame
from tests.support.raw import WIRES, WireName, connection
from tests.support.server import Address, serving

from .refusals import CLOSE, TEXT, ask, assert_problem, close_code, frame, read_frame, request_bytes, shaken
from .running import running

# Long enough to be in its midst when the signal comes, short enough to wait for.
LIVE: dict[str, Any] = {"model": "demo/default", "options": {"tokens": 150, "rate": 100}}
LIVE_BODY = json.dumps({**LIVE, "prompt": "x"}).encode()
ENDLESS: dict[str, Any] = {"model": "demo/default", "options": {"tokens": 200_000, "rate": 50}}


class Noted(Observer):
    """An observer that says when it has some of the answer."""

    def __init__(self, generation: str, name: str) -> None:
        super().__init__(generation, name)
        self.begun = asyncio.Event()

    def _accept(self, frame: Frame) -> None:
        super()._accept(frame)
        if len(self.frames) > 5:
            self.begun.set()


class Watching:
    """One observer on every wire of one generation, and what each of them ends with."""

    def __init__(self, address: Address, generation: str) -> None:
        self.observers = [Noted(generation, wire) for wire in WIRES]
        self._tasks = [
            asyncio.create_task(observer.watch(address, wire))
            for observer, wire in zip(self.observers, WIRES, strict=True)
        ]
        self._text = asyncio.create_task(read_text(address, generation))

    async def begun(self) -> None:
        """Wait until all of them have some of the answer."""
        for observer, task in zip(self.observers, self._tasks, strict=True):
            noted = asyncio.create_task(observer.begun.wait())
            await asyncio.wait({noted, task}, timeout=20, return_when=asyncio.FIRST_COMPLETED)
            noted.cancel()
            assert observer.begun.is_set(), (observer.name, observer.frames, task)

    async def ends(self) -> tuple[list[End], Response]:
        """Wait for all of them to be over."""
        return await asyncio.gather(*self._tasks), await self._text

    def outcomes(self) -> set[tuple[str, str | None]]:
        """Outcome and error code that the observers were given."""
        last = [observer.events[-1] for observer in self.observers]
        assert {event["type"] for event in last} == {"finished"}
        return {(event["outcome"], event.get("error", {}).get("code")) for event in last}


async def draining(address: Address) -> None:
    """Wait until the server says that it drains."""
    async with asyncio.timeout(10):
        while (await request(address, "GET", "/readyz")).status != 503:
            pass


async def next_frame(reader: asyncio.StreamReader) -> tuple[int, Any]:
    """The next frame: its kind, and its object or the code it closes with."""
    opcode, payload = await read_frame(reader)
    return opcode, close_code(payload) if opcode == CLOSE else json.loads(payload)


async def test_what_runs_ends_well() -> None:
    """Generations finish with their observers attached, bodies are complete, sockets get a goodbye and then 1012."""
    async with running() as (process, address), shaken(address) as (reader, writer):
        generation = await start(address, **LIVE)
        writer.write(frame(TEXT, json.dumps({"type": "observe", "ref": 1, "generation": generation}).encode()))
        watching = Watching(address, generation)
        await watching.begun()
        process.signal()
        await draining(address)

        refused = await ask(address, request_bytes(address, "POST", "/v1/generations", body=LIVE_BODY))
        assert_problem(refused, "draining")
        assert int(refused.headers["retry-after"]) >= 1
        assert (await request(address, "GET", "/livez")).status == 200
        late = Observer(generation, "late")
        assert (await late.watch(address, "sse", after=watching.observers[0].events[2]["id"])).why == "ended"
        assert late.finished

        ends, text = await watching.ends()
        assert {end.why for end in ends} == {"ended"}
        assert watching.outcomes() == {("completed", None)}
        assert text.complete
        assert {observer.text for observer in watching.observers} == {text.body.decode()}

        frames = [await next_frame(reader)]
        while frames[-1][0] != CLOSE:
            frames.append(await next_frame(reader))
        *_, (_, events), (_, bye), (_, code) = frames
        assert events["events"][-1]["type"] == "finished"
        assert (bye["type"], bye["reason"], code) == ("bye", "draining", 1012)
        assert bye["retry_ms"] >= 1000
        writer.write(frame(CLOSE, b"\x03\xf4"))
        assert await reader.read() == b""
        assert await process.ended() == 0
        assert "Traceback" not in process.log
        assert "ERROR" not in process.log


async def test_second_signal_hurries() -> None:
    """A second signal means it: what still runs is ended as the server's fault, and every observer is told."""
    async with running() as (process, address):
        generation = await start(address, **ENDLESS)
        watching = Watching(address, generation)
        await watching.begun()
        process.signal()
        await draining(address)
        process.signal()
        ends, text = await watching.ends()
        assert {end.why for end in ends} == {"ended"}
        assert watching.outcomes() == {("failed", "worker_shutdown")}
        assert not text.complete, "a text cannot say that it failed, so it must not look whole"
        assert watching.observers[0].text.startswith(text.body.decode())
        assert await process.ended() == 0
        assert "Traceback" not in process.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_drain_timeout(number: signal.Signals) -> None:
    """What takes longer than the server may wait is ended as the server's fault, and every observer is told."""
    async with running("--drain-timeout-s", "0.2") as (process, address):
        watching = Watching(address, await start(address, **ENDLESS))
        await watching.begun()
        process.signal(number)
        ends, text = await watching.ends()
        assert {end.why for end in ends} == {"ended"}
        assert watching.outcomes() == {("failed", "worker_shutdown")}
        assert not text.complete
        assert await process.ended() == 0
        assert "Traceback" not in process.log


async def test_idle() -> None:
    """Who waits for something that will not come any more is sent away with a time to come back, whatever it speaks."""
    async with running() as (process, address), shaken(address) as (reader, _):
        following = request(address, "GET", "/v1/conversations/c/events?follow=1")
        ndjson = request(address, "GET", "/v1/conversations/c/events?follow=1&wire=ndjson")
        waiting = request(address, "GET", "/v1/conversations/c/events?wait=60")
        refused = request(address, "GET", "/v1/conversations/c/events?wait=60&wire=ndjson")
        asked = [asyncio.create_task(each) for each in (following, ndjson, waiting, refused)]
        # What was asked before these was read before these.
        for _ in range(3):
            await request(address, "GET", "/livez")
        process.signal()
        followed, lines, waited, refusal = await asyncio.gather(*asked)
        for answer in (followed, waited):
            assert (answer.status, answer.complete) == (200, True)
            assert answer.body.startswith(b"retry: ")
            assert b'event: bye\ndata: {"type":"bye","reason":"draining"' in answer.body
        assert lines.complete
        assert json.loads(lines.body)["type"] == "bye"
        assert (refusal.status, refusal.json()["code"]) == (503, "draining")
        assert (await next_frame(reader))[1]["type"] == "bye"
        assert (await next_frame(reader)) == (CLOSE, 1012)
        assert await process.ended() == 0
        assert "Traceback" not in process.log


# Each would take minutes for what is left, so only the goodbye can have brought it.
SLOW_WAYS: dict[str, dict[str, Any]] = {"paced": {"pace": "1"}, "flushed": {"flush_ms": 10_000}}
BURST: dict[str, Any] = {"model": "demo/default", "options": {"tokens": 200, "rate": 2000}}


@pytest.mark.parametrize("way", SLOW_WAYS)
async def test_who_wanted_it_slowly_gets_all_of_it(way: str) -> None:
    """The rest comes at once and the body is complete: a log that dies with its process is nothing to come back for."""
    async with serving() as server:
        generation = await start(server.address, **BURST)
        observers = [Observer(generation, wire) for wire in WIRES]
        asked = [
            asyncio.create_task(observer.watch(server.address, wire, **SLOW_WAYS[way]))
            for observer, wire in zip(observers, WIRES, strict=True)
        ]
        text = asyncio.create_task(read_text(server.address, generation, **SLOW_WAYS[way]))
        await asyncio.gather(*(observer.began.wait() for observer in observers))
        log = await server.finished(generation)
        assert not any(task.done() for task in asked), "it was not slow"
    ends, answer = await asyncio.gather(*asked), await text
    assert {end.why for end in ends} == {"ended"}
    assert {len(observer.events) for observer in observers} == {log.head}
    assert answer.complete
    assert {observer.text for observer in observers} == {answer.body.decode()}


@pytest.mark.parametrize("wire", WIRES)
async def test_who_lags_gets_all_of_it(wire: WireName) -> None:
    """A peer that had stopped reading when the goodbye was said reads on, and nothing is missing."""
    async with serving() as server:
        generation = await start(server.address, model="demo/default", options={"tokens": 40_000, "rate": 100_000})
        observer, lagging = Observer(generation), connection(server.address, wire, receive_buffer=4096)
        asked = asyncio.create_task(observer.watch_over(lagging))
        await observer.began.wait()
        lagging.transport.pause_reading()
        log = await server.finished(generation)
        farewell = asyncio.create_task(server.application.service.farewell(20))
        # One turn, in which the goodbye is said.
        await asyncio.sleep(0)
        assert len(observer.events) < log.head, "it did not lag"
        lagging.transport.resume_reading()
        assert (await asked).why == "ended"
        assert len(observer.events) == log.head
        await farewell


async def test_a_text_that_is_cut_short_breaks() -> None:
    """A goodbye in the midst of an answer that is driven elsewhere has no words on this wire, so the body breaks."""
    async with serving() as server:
        generation = await start(server.address, **ENDLESS)
        text = asyncio.create_task(read_text(server.address, generation))
        # A server has no event for "somebody observes".
        while not (await server.log(generation)).observers:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await server.application.service.farewell(20)
        assert not (await text).complete


async def test_a_follower_is_told_after_the_rest() -> None:
    """The goodbye that hurried the rest of a generation is not forgotten when there is nothing left but to wait."""
    async with serving() as server:
        generation = await start(server.address, conversation="c", **BURST)
        target = "/v1/conversations/c/events?follow=1&wire=ndjson&pace=1"
        asked = asyncio.create_task(request(server.address, "GET", target))
        log = await server.finished(generation)
    answer = await asked
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert answer.complete
    assert len([line for line in lines if "id" in line]) == log.head
    assert [line["type"] for line in lines[-2:]] == ["finished", "bye"]


async def test_who_comes_behind_the_farewell_is_told_at_once() -> None:
    """It may have come for what is driven elsewhere, and what has no end here must not be cut off with the process."""
    async with serving() as server:
        generation = await start(server.address, **ENDLESS)
        await server.application.service.farewell(20)
        for wire in WIRES[:2]:
            observer = Observer(generation)
            assert (await observer.watch(server.address, wire)).why == "bye"
            assert observer.controls[-1]["reason"] == "draining"
        async with shaken(server.address) as (reader, _):
            assert (await next_frame(reader))[1]["type"] == "bye"
            assert (await next_frame(reader)) == (CLOSE, 1012)
