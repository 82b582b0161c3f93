"""The lives that a generation may have here, and how often each is had."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

from tests.history.rows import Close, Open, Received, canonical
from tests.support.http import HttpExchange
from tests.support.parsers import Frame, NdjsonParser
from tests.support.raw import HttpConnection, SocketConnection

from .life import MUCH, Life, gathered, watch_nothing

Lived = Callable[[Life], Coroutine[Any, Any, None]]


async def watched(life: Life) -> None:
    """Observers come, drop, resume on other wires, leave, and come late, until it ends by itself."""
    generation = await life.start(life.body())
    await life.watch(generation, most=6)
    await life.end(generation)


async def stopped(life: Life) -> None:
    """Somebody stops it, twice, while others watch."""
    generation = await life.start(life.endless())
    count = life.rng.randrange(1, 12)
    stopper = life.observer(generation, "stopper")

    async def stop() -> None:
        await stopper.watch(life.address, "sse", count=count)
        await life.stop(generation)
        await life.stop(generation)

    await gathered(stop(), life.watch(generation))
    await life.end(generation)


async def abandoned(life: Life) -> None:
    """All observers leave, and after the grace the server stops it."""
    generation = await life.start(life.endless(grace=0.1))
    observer = life.observer(generation, "only")
    await observer.watch(life.address, life.wire(), count=life.rng.randrange(1, 12))
    await life.end(generation)


async def unread(life: Life) -> None:
    """One reads nothing, and is cut or caught up; another reads."""
    generation = await life.start({"model": "demo/default", "prompt": "Much.", "options": MUCH})
    over = asyncio.Event()

    async def read() -> None:
        try:
            await life.watch(generation, most=1)
        finally:
            over.set()

    await gathered(read(), watch_nothing(life, life.observer(generation, "unreading"), over))
    await life.end(generation)


async def repeated(life: Life) -> None:
    """A start is repeated with its key, at once and later: there is one generation, and another body is refused."""
    body, key = life.body(), f"key-{life.rng.getrandbits(64)}"
    found = await asyncio.gather(*(life.start(body, Idempotency_Key=key) for _ in range(3)))
    (generation,) = set(found)
    await life.watch(generation)
    assert await life.start(body, Idempotency_Key=key) == generation
    other = await life.ask("POST", "/generations", {**body, "prompt": "Another."}, Idempotency_Key=key)
    assert other.status == 422, other
    await life.end(generation)


async def streamed(life: Life) -> None:
    """The start is answered with the stream itself, which is cut and resumed."""
    exchange, wire = HttpExchange(life.address), life.rng.choice(("sse", "ndjson"))
    accept = {"sse": "text/event-stream", "ndjson": "application/x-ndjson"}[wire]
    await exchange.ask("POST", "/v1/generations", {"Accept": accept}, json.dumps(life.body()).encode())
    assert exchange.status == 200, exchange.status
    generation = exchange.headers["location"].rpartition("/")[2]
    observer = life.observer(generation, "starter")
    await observer.watch_over(_Asked(exchange, wire, life), count=life.rng.randrange(30))
    if not observer.finished:
        await observer.follow(life.address, life.wire())
    await life.end(generation)


class _Asked(HttpConnection):
    """The stream that a start was answered with."""

    def __init__(self, exchange: HttpExchange, wire: Any, life: Life) -> None:
        super().__init__(life.address, wire)
        self._exchange = exchange

    async def open(self, *_: Any) -> None:
        pass


async def batch(life: Life) -> None:
    """Nobody observes it; one waits for its end, another lists, reads and measures."""
    generation = await life.start(life.body(), Prefer="wait=20")
    resource = await life.ask("GET", f"/generations/{generation}", Prefer="wait=20")
    assert resource.json()["state"] == "finished", resource
    listed = await life.ask("GET", "/generations?limit=5")
    unknown = await life.ask("GET", "/generations/" + "0" * 32)
    malformed = await life.ask("GET", f"/generations/{generation}/events?after=x")
    assert [listed.status, unknown.status, malformed.status] == [200, 404, 400]
    await life.end(generation)


async def conversed(life: Life) -> None:
    """A conversation is followed while its generations replace each other; its last is stopped."""
    name = f"c{life.rng.getrandbits(64):x}"
    exchange, several = HttpExchange(life.address), Several(life, "follower")
    headers = {"Accept": "application/x-ndjson"}
    await exchange.ask("GET", f"/v1/conversations/{name}/events?follow=1", headers)
    assert exchange.status == 200, exchange.status
    generations: list[str] = []

    async def converse() -> None:
        for body in (life.endless(), life.body(), life.endless()):
            generations.append(await life.start({**body, "conversation": name, "if_busy": "replace"}))
            await life.observer(generations[-1], "other").watch(life.address, life.wire(), count=5)
        await life.stop(generations[-1])

    async def follow() -> None:
        parser = NdjsonParser()
        async for data in exchange.body():
            for frame in parser.feed(data):
                several.take(frame)
            if several.ended == 3:
                break
        await exchange.close()
        several.close()

    await gathered(converse(), follow())
    assert several.ended == 3, several.ended
    await life.end(*generations)


async def multiplexed(life: Life) -> None:
    """One socket starts and observes several, leaves one of them and comes back, stops another."""
    socket, several = (
        SocketConnection(life.address, life.rng.choice(("ws-json", "ws-msgpack"))),
        Several(life, "socket"),
    )
    await socket.connect()
    generations: list[str] = []
    try:
        for body in (life.body(), life.endless(), life.body()):
            reply = await socket.command("start", request=body, observe=False)
            generations.append(reply["generation"])
        for generation in generations:
            await socket.send("observe", f"observe {generation}", generation=generation)
        await socket.send("stop", "stop", generation=generations[1])
        while several.ended < 3:
            for frame in await socket.receive():
                several.take(frame)
        await socket.send("unobserve", "last", generation=generations[0])
        # A heartbeat may come before the reply.
        while all(frame.value.get("ref") != "last" for frame in await socket.receive()):
            pass
    finally:
        several.close()
        await socket.close()
    await life.end(*generations)


class Several:
    """An observer of several generations on one connection."""

    def __init__(self, life: Life, name: str) -> None:
        self.ended = 0
        self._life, self._name = life, name
        self._generations: dict[str, str] = {}

    def take(self, frame: Frame) -> None:
        """Record a frame; what is neither an event nor a position is passed over."""
        value = frame.value
        if value["type"] == "position":
            assert value.get("reset") is None, value
            generation = value["generation"]
            self._generations[value["cursor"].partition("-")[0]] = generation
            self._life.rows(generation).append(Open(self._name, 1, generation))
        if frame.is_event:
            epoch, _, seq = value["id"].rpartition("-")
            generation, terminal = self._generations[epoch], value["type"] == "finished"
            row = Received(self._name, 1, generation, epoch, int(seq), canonical(value), terminal)
            self._life.rows(generation).append(row)
            self.ended += terminal

    def close(self) -> None:
        """The connection is over."""
        for generation in self._generations.values():
            self._life.rows(generation).append(Close(self._name, 1, generation, "left"))


LIVES: dict[Lived, int] = {
    watched: 10,
    stopped: 4,
    abandoned: 2,
    unread: 1,
    repeated: 2,
    streamed: 3,
    batch: 2,
    conversed: 2,
    multiplexed: 2,
}


def drawn(life: Life) -> Lived:
    """One of them, by the life's own seed."""
    (chosen,) = life.rng.choices(tuple(LIVES), tuple(LIVES.values()))
    return chosen
