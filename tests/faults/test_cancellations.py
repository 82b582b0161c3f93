"""Readers, starts, stops and drivers are interrupted anywhere: nothing is left of them, and every generation ends once.

Anywhere is a number of turns of the loop after a beginning: a request half sent, a start half admitted, a place in a
full pool awaited, a head, a token or an end under way.
"""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from realtime.principal import ANONYMOUS
from realtime.request import StartRequest
from realtime.strict import convert
from tests.history.rows import Close
from tests.support.http import HttpExchange, dial, request, start, stop
from tests.support.observer import Observer
from tests.support.raw import WIRES, SocketConnection

from .scene import Scene, acting

Amount = Callable[[int, int], int]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

_AT_ONCE = 32
_ACCEPTS = ("application/json", "text/event-stream", "application/x-ndjson", "text/plain")


async def interrupt(scene: Scene, work: Awaitable[Any]) -> None:
    """Cancel something after a while; it is over when this returns, and what else ended it is raised."""
    task = asyncio.ensure_future(work)
    await scene.turns()
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()


async def leave_as_a_reader(scene: Scene, name: str) -> None:
    """Observe, and leave in the midst of it; whoever was really there is the last, so the generation is stopped."""
    reader = Observer(await start(scene.server.address, **scene.body()), name, scene.recording.rows)
    await interrupt(scene, reader.watch(scene.server.address, scene.rng.choice(WIRES)))
    scene.recording.rows.append(Close(name, reader.connections, reader.generation, "left"))
    if reader.began.is_set():
        await scene.server.finished(reader.generation)
    else:
        await scene.end(reader.generation)


async def leave_a_start(scene: Scene, name: str) -> None:
    """Send some or all of a start, with or without a wait for its end, and hang up on the answer."""
    body, accept = scene.body(), scene.rng.choice(_ACCEPTS)
    headers = {"Accept": accept, "Idempotency-Key": name}
    if scene.rng.random() < 0.3:
        headers["Prefer"] = "wait=60"
    exchange = HttpExchange(scene.server.address)
    try:
        await interrupt(scene, read_all(exchange, headers, json.dumps(body).encode()))
    finally:
        await exchange.close()
    await end_started(scene, name, body)


async def read_all(exchange: HttpExchange, headers: dict[str, str], body: bytes) -> None:
    """Ask, and read whatever the answer is."""
    await exchange.ask("POST", "/v1/generations", headers, body)
    async for _ in exchange.body():
        pass


async def leave_half_a_start(scene: Scene, _: str) -> None:
    """Hang up in the midst of a request."""
    body = json.dumps(scene.body()).encode()
    fields = f"Host: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    whole = f"POST /v1/generations HTTP/1.1\r\n{fields}\r\n\r\n".encode() + body
    sock = await dial(scene.server.address)
    await asyncio.get_running_loop().sock_sendall(sock, whole[: scene.rng.randrange(len(whole))])
    await scene.turns()
    sock.close()


async def cancel_a_start(scene: Scene, name: str) -> None:
    """Cancel the call that starts a generation, as an app of one's own may."""
    body = scene.body()
    wanted = convert(body, StartRequest)
    await interrupt(scene, scene.server.sessions.start(ANONYMOUS, wanted, idempotency_key=name))
    await end_started(scene, name, body)


async def end_started(scene: Scene, key: str, body: dict[str, Any]) -> None:
    """End what was started under this key. Where nothing was, this starts it; it ends all the same."""
    made = await request(scene.server.address, "POST", "/v1/generations", body, {"Idempotency-Key": key})
    assert made.status in {200, 201}, made
    await scene.end(made.json()["id"])


async def leave_a_socket(scene: Scene, name: str) -> None:
    """Start over a socket, which observes it, and drop the socket."""
    socket, body = SocketConnection(scene.server.address, scene.rng.choice(("ws-json", "ws-msgpack"))), scene.body()

    async def observe() -> None:
        await socket.connect()
        await socket.send("start", 1, request=body, idempotency_key=name)
        while True:
            await socket.receive()

    try:
        await interrupt(scene, observe())
    finally:
        await socket.close()
    await end_started(scene, name, body)


async def change_ones_mind(scene: Scene, _: str) -> None:
    """Observe and unobserve over one socket faster than either can be done, and drop it."""
    socket = SocketConnection(scene.server.address, scene.rng.choice(("ws-json", "ws-msgpack")))
    generation = await start(scene.server.address, **scene.body(grace=60))
    await socket.connect()

    async def waver() -> None:
        for ref in range(scene.rng.randrange(12)):
            await socket.send(scene.rng.choice(("observe", "unobserve")), ref, generation=generation)
        while True:
            await socket.receive()

    try:
        await interrupt(scene, waver())
    finally:
        await socket.close()
    await scene.end(generation)


async def stop_it(scene: Scene, name: str) -> None:
    """Stop under a reader who stays, once or several times at once, one of them in a request that is hung up."""
    reader = Observer(await start(scene.server.address, **scene.body()), name, scene.recording.rows)
    watching = asyncio.create_task(reader.follow(scene.server.address, scene.rng.choice(WIRES)))
    await scene.turns()
    stops = [stop(scene.server.address, reader.generation) for _ in range(scene.rng.randint(1, 3))]
    await asyncio.gather(interrupt(scene, stop(scene.server.address, reader.generation)), *stops, watching)
    assert reader.finished


async def cancel_a_driver(scene: Scene, name: str) -> None:
    """Cancel the task that reads the provider; its reader is told of an end all the same."""
    reader = Observer(await start(scene.server.address, **scene.body()), name, scene.recording.rows)
    watching = asyncio.create_task(reader.follow(scene.server.address, scene.rng.choice(WIRES)))
    await scene.turns()
    drivers = [task for task in asyncio.all_tasks() if task.get_name() == f"drive {reader.generation}"]
    for driver in drivers:
        driver.cancel()
    if not drivers:
        # It was over, or has yet to begin.
        await scene.end(reader.generation)
    await watching


INTERRUPTIONS = (
    leave_as_a_reader,
    leave_a_start,
    leave_half_a_start,
    cancel_a_start,
    leave_a_socket,
    change_ones_mind,
    stop_it,
    cancel_a_driver,
)


async def test_nothing_is_left(amount: Amount, caplog: pytest.LogCaptureFixture) -> None:
    """Pools, tasks and descriptors are what they were, the upstream has seen its connections go, and all ended once."""
    caplog.set_level(logging.ERROR)
    async with acting() as scene:
        baseline = (0, 0)
        for turn in ("first", "second"):
            # What is made once and kept is made in the first.
            await asyncio.gather(*(made(scene, f"{turn}-{made.__name__}") for made in INTERRUPTIONS))
            baseline = await scene.settle()
        done: Counter[str] = Counter()
        numbers = iter(range(amount(1_000, 10_000)))

        async def interrupt_anything() -> None:
            for number in numbers:
                chosen = scene.rng.choice(INTERRUPTIONS)
                done[chosen.__name__] += 1
                await chosen(scene, f"{number}-{chosen.__name__}")

        await asyncio.gather(*(interrupt_anything() for _ in range(_AT_ONCE)))
        left = await scene.settle()
        assert left == baseline
        scene.assert_ended_once()
    assert len(done) == len(INTERRUPTIONS)
    assert all(exchange.closed.is_set() for exchange in scene.upstream.exchanges)
    said = {record.getMessage().split(" ")[0] for record in caplog.records}
    assert said <= {"driving"}, "only a driver that was cancelled is an error"
