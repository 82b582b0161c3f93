"""Many who watch: nobody is disturbed by another, and all of them together agree with what was written."""

import asyncio
import random
from typing import Any

import pytest

from tests.history.checker import check
from tests.support.http import start, stop
from tests.support.observer import Observer
from tests.support.proxy import Fault, Kind, proxied
from tests.support.raw import WIRES, SocketConnection, StalledConnection, WireName
from tests.support.recording import Recording
from tests.support.server import serving

_KINDS: tuple[Kind, ...] = ("close", "reset", "half_close")
# More than all buffers between a server and a peer that does not read.
MUCH = {"tokens": 6000, "rate": 6000}


@pytest.mark.parametrize("wire", WIRES)
async def test_one_who_does_not_read_disturbs_nobody(wire: WireName) -> None:
    """The others have everything while it is still attached; it is within its deadline and nobody waits for it."""
    recording = Recording()
    async with serving(prepare=recording.attach, send_buffer_bytes=4096, send_deadline_s=60) as server:
        generation = await start(server.address, model="demo/default", options=MUCH)
        stalled = Observer(generation, "stalled", recording.rows)
        connection = StalledConnection(server.address, wire)
        stalling = asyncio.create_task(stalled.watch_over(connection))
        fast = [Observer(generation, f"fast {other}", recording.rows) for other in WIRES]
        await asyncio.gather(
            *(observer.watch(server.address, other) for observer, other in zip(fast, WIRES, strict=True))
        )
        log = await server.log(generation)
        assert log.observers == 1
        connection.read.set()
        assert (await stalling).why == "ended"
        await recording.settled(1)
    assert stalled.events == fast[0].events
    assert check(recording.rows) == []


@pytest.mark.parametrize("wire", WIRES)
async def test_one_who_does_not_read_is_closed_and_can_come_back(wire: WireName) -> None:
    """The send deadline ends its connection, and from what it had it goes on without a gap."""
    recording = Recording()
    async with serving(prepare=recording.attach, send_buffer_bytes=4096, send_deadline_s=0.2) as server:
        generation = await start(server.address, model="demo/default", options=MUCH)
        stalled = Observer(generation, "stalled", recording.rows)
        connection = StalledConnection(server.address, wire)
        stalling = asyncio.create_task(stalled.watch_over(connection))
        steady = Observer(generation, "steady", recording.rows)
        watching = asyncio.create_task(steady.watch(server.address, "ndjson"))
        async with asyncio.timeout(20):
            left = await recording.left.get()
            while left.why != "too_slow":
                left = await recording.left.get()
        connection.read.set()
        assert (await stalling).why == "cut"
        assert not stalled.finished
        await stalled.follow(server.address, wire)
        assert (await watching).why == "ended"
        await recording.settled(1)
    assert stalled.events == steady.events
    assert stalled.resets == []
    assert check(recording.rows) == []


async def test_two_hundred_observers_have_the_same() -> None:
    """A generation that two hundred watch, fifty on each wire, is the same for all of them."""
    recording = Recording()
    async with serving(prepare=recording.attach) as server:
        generation = await start(server.address, model="demo/tools", options={"tokens": 50, "rate": 50})
        observers = [Observer(generation, f"{wire} {n}", recording.rows) for wire in WIRES for n in range(50)]
        ends = await asyncio.gather(
            *(observer.watch(server.address, WIRES[n // 50]) for n, observer in enumerate(observers))
        )
        await recording.settled(1)
    assert {end.why for end in ends} == {"ended"}
    assert all(observer.events == observers[0].events for observer in observers)
    assert check(recording.rows) == []


async def test_observers_that_come_and_go() -> None:
    """Forty who leave after a few events and come back on another wire, all the time, end up with the same."""
    recording, rng = Recording(), random.Random(random.random())
    async with serving(prepare=recording.attach) as server:
        generation = await start(server.address, model="demo/reasoning", options={"tokens": 120, "rate": 100})

        async def come_and_go(number: int) -> Observer:
            observer = Observer(generation, f"observer {number}", recording.rows)
            while not observer.finished and observer.connections < 12:
                await observer.watch(server.address, rng.choice(WIRES), count=rng.randrange(25))
            await observer.follow(server.address, rng.choice(WIRES))
            return observer

        observers = await asyncio.gather(*(come_and_go(number) for number in range(40)))
        await recording.settled(1)
    assert all(observer.events == observers[0].events for observer in observers)
    assert check(recording.rows) == []


async def test_many_generations_over_a_bad_network() -> None:
    """Generations of every kind, each watched on every wire through a network that cuts: the history is clean."""
    recording, rng = Recording(), random.Random(random.random())
    cases: list[dict[str, Any]] = [
        {"model": "demo/default"},
        {"model": "demo/reasoning"},
        {"model": "demo/tools"},
        {"model": "demo/json"},
        {"fault": "error", "fault_after": 20},
        {"fault": "truncate", "fault_after": 30},
        {"fault": "refuse", "fault_after": 10},
        {"tokens": 100_000},
    ]

    def fault() -> Fault:
        # Every other connection is spared: a message of a socket is had as a whole or not at all.
        after = rng.choice((None, rng.randrange(6000)))
        return Fault(after, rng.choice(_KINDS), latency_s=rng.choice((0.0, 0.0, 0.002)))

    async with serving(prepare=recording.attach) as server, proxied(server.address, fault) as proxy:

        async def one(number: int) -> None:
            options: dict[str, Any] = {"tokens": 60, "rate": rng.choice((100, 400, 5000)), "seed": number}
            options |= cases[number % len(cases)]
            model = options.pop("model", "demo/default")
            generation = await start(server.address, model=model, options=options)
            observers = [Observer(generation, f"{number} {wire}", recording.rows) for wire in WIRES]
            following = [
                asyncio.create_task(observer.follow(proxy.address, wire))
                for observer, wire in zip(observers, WIRES, strict=True)
            ]
            if options["tokens"] > 1000:
                await server.reached(generation, 30)
                await stop(server.address, generation)
            await asyncio.gather(*following)

        await asyncio.gather(*(one(number) for number in range(24)))
        await recording.settled(24)
        assert len(proxy.passed) > 24 * len(WIRES)
    assert check(recording.rows) == []


@pytest.mark.parametrize("by", ["http", "ws-json", "ws-msgpack"])
async def test_a_stop_from_any_wire_ends_it_for_all(by: WireName | str) -> None:
    """Whoever stops it, all observers get one `finished` that says so, and asking again changes nothing."""
    recording = Recording()
    async with serving(prepare=recording.attach) as server:
        generation = await start(server.address, model="demo/default", options={"tokens": 100_000, "rate": 200})
        observers = [Observer(generation, f"{wire} {n}", recording.rows) for wire in WIRES for n in range(2)]
        watching = [
            asyncio.create_task(observer.watch(server.address, WIRES[n // 2])) for n, observer in enumerate(observers)
        ]
        socket = SocketConnection(server.address, "ws-msgpack" if by == "ws-msgpack" else "ws-json")
        stopper = Observer(generation, "stopper", recording.rows)
        stopping = asyncio.create_task(stopper.watch_over(socket))
        log = await server.reached(generation, 10)
        while log.observers < len(observers) + 1:
            await log.wait(log.head)
        if by == "http":
            assert await stop(server.address, generation) == {"id": generation, "state": "stopping"}
        else:
            await socket.send("stop", "the stop", generation=generation)
        await asyncio.gather(*watching, stopping)
        again = await stop(server.address, generation)
        assert again == {"id": generation, "state": "finished", "outcome": "stopped"}
        await recording.settled(1)
    if by != "http":
        assert socket.replies == [{"type": "ok", "ref": "the stop", "generation": generation, "state": "stopping"}]
    for observer in (*observers, stopper):
        finished = [event for event in observer.events if event["type"] == "finished"]
        assert [(event["outcome"], event["stopped_by"]) for event in finished] == [("stopped", "owner")]
        assert observer.events == stopper.events
    assert check(recording.rows) == []
