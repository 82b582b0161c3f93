"""What one generation and its observers go through, drawn from a seed: the same number is the same life again."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, Literal

from tests.history.rows import Stop
from tests.support.http import Response, request
from tests.support.observer import Observer
from tests.support.raw import WIRES, StalledConnection, WireName
from tests.support.server import Address
from tests.upstream import FIN, RESET, STALL, Exchange, Pause, Reply, Upstream, chat

from .judged import Judged

MODELS = ("demo/default", "demo/reasoning", "demo/tools", "demo/json")
# More than what is between a server and a peer that reads nothing.
MUCH = {"tokens": 600, "rate": 1500}

_FAULTS: tuple[dict[str, Any], ...] = ({}, {}, {}, {"fault": "error"}, {"fault": "truncate"}, {"fault": "refuse"})

# A way to watch; all its choices are made when it is made, so that none of them depends on time.
_Watching = Coroutine[Any, Any, None]
_Style = Literal["steady", "dropping", "leaving", "late"]
_STYLES: tuple[_Style, ...] = ("steady", "dropping", "dropping", "leaving", "late")


class Life:
    """One life, and what it needs of its surroundings.

    Attributes:
        rng: Every choice of this life is made by it, and in an order that does not depend on time.
    """

    def __init__(self, number: int, address: Address, judged: Judged) -> None:
        self.rng = random.Random(number)
        self.address = address
        self._judged = judged
        self.number = number

    def wire(self) -> WireName:
        """Any of them."""
        return self.rng.choice(WIRES)

    def rows(self, generation: str) -> Any:
        """Where to record what is seen of a generation."""
        return self._judged.rows(generation)

    def observer(self, generation: str, name: str) -> Observer:
        """An observer whose history is judged."""
        return Observer(generation, name, self._judged.rows(generation))

    def body(self, **fields: Any) -> dict[str, Any]:
        """A request for a short answer of the demo, or of the upstream."""
        rng, options = self.rng, dict[str, Any]()
        if rng.random() < 0.4:
            model = f"openai/{rng.choice(tuple(UPSTREAM))}"
        else:
            model = rng.choice(MODELS)
            options = {"tokens": rng.randrange(20, 100), "rate": rng.choice((100, 200, 1000)), "seed": self.number}
            options |= rng.choice(_FAULTS)
        return {"model": model, "prompt": f"Life {self.number}.", "options": options, **fields}

    def endless(self, **fields: Any) -> dict[str, Any]:
        """A request for what only a stop ends."""
        if self.rng.random() < 0.3:
            return {"model": "openai/stall", "prompt": "Stay.", **fields}
        options = {"tokens": 100_000, "rate": 100, "seed": self.number}
        return {"model": "demo/default", "prompt": "Stay.", "options": options, **fields}

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        """A request of the API; underscores in a header's name are hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await request(self.address, method, f"/v1{path}", body, named)

    async def start(self, body: dict[str, Any], **headers: str) -> str:
        """Start a generation; its id."""
        answer = await self.ask("POST", "/generations", body, **headers)
        assert answer.status in {200, 201}, answer
        generation: str = answer.json()["id"]
        return generation

    async def stop(self, generation: str) -> None:
        """Stop a generation, which is noted."""
        answer = await self.ask("POST", f"/generations/{generation}/stop")
        assert answer.status == 200, answer
        self._judged.wrote(Stop(generation, answer.json()["state"]))

    async def watch(self, generation: str, most: int = 4) -> None:
        """Have up to so many observers of every style watch it to its end, one of them steadily."""
        styles = ["steady", *self.rng.choices(_STYLES, k=self.rng.randrange(most))]
        watching = [_WATCH[style](self, self.observer(generation, f"{n} {style}")) for n, style in enumerate(styles)]
        await gathered(*watching)

    async def end(self, *generations: str) -> None:
        """Have them judged, and half of them erased; what is left the server forgets in time."""
        for generation in generations:
            await self._judged.over(generation)
            if self.rng.random() < 0.5:
                answer = await self.ask("DELETE", f"/generations/{generation}")
                assert answer.status == 204, answer


async def gathered(*lives: Coroutine[Any, Any, None]) -> None:
    """Run them together; the first to fail is the end of all."""
    try:
        async with asyncio.TaskGroup() as group:
            for life in lives:
                group.create_task(life)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None


def _watch_steadily(life: Life, observer: Observer) -> _Watching:
    return observer.follow(life.address, life.wire())


def _watch_late(life: Life, observer: Observer) -> _Watching:
    first, then = life.wire(), life.wire()

    async def watch() -> None:
        """All of it again, once it is over; then nothing, from its last place."""
        await life.observer(observer.generation, f"{observer.name}, first").follow(life.address, first)
        await observer.follow(life.address, then)
        end = await observer.watch(life.address, first)
        assert end.why == "ended", end

    return watch()


def _watch_dropping(life: Life, observer: Observer) -> _Watching:
    drops = [(life.wire(), life.rng.randrange(25)) for _ in range(life.rng.randrange(1, 4))]
    last = life.wire()

    async def watch() -> None:
        for wire, count in drops:
            if not observer.finished:
                await observer.watch(life.address, wire, count=count)
        await observer.follow(life.address, last)

    return watch()


def _watch_and_leave(life: Life, observer: Observer) -> _Watching:
    wire, count = life.wire(), life.rng.randrange(25)

    async def watch() -> None:
        await observer.watch(life.address, wire, count=count)

    return watch()


_WATCH: dict[str, Callable[[Life, Observer], _Watching]] = {
    "steady": _watch_steadily,
    "late": _watch_late,
    "dropping": _watch_dropping,
    "leaving": _watch_and_leave,
}


async def watch_nothing(life: Life, observer: Observer, over: asyncio.Event) -> None:
    """Be attached and read nothing until it is over; then read what still comes."""
    connection = StalledConnection(life.address, life.wire())
    watching = asyncio.create_task(observer.watch_over(connection))
    await over.wait()
    connection.read.set()
    await watching


# Models of the fake upstream, and what it answers.

_SAID = chat.text(*(f"word {n} " for n in range(40)))
UPSTREAM: dict[str, Reply] = {
    "whole": Reply(_SAID),
    "paced": Reply([step for said in _SAID for step in (said, Pause(0.01))]),
    "fin": Reply([*_SAID[:20], Pause(0.02), FIN]),
    "reset": Reply([*_SAID[:20], Pause(0.02), RESET]),
    "refused": Reply.json({"error": {"message": "later", "type": "server_error"}}, 503),
}
_STALLED = Reply([*_SAID[:10], STALL])


def answer(exchange: Exchange) -> Reply:
    """What the fake upstream says to a request."""
    return UPSTREAM.get(exchange.body["model"], _STALLED)


class ForgetfulUpstream(Upstream):
    """An upstream that keeps no list of what it was asked."""

    def __init__(self) -> None:
        super().__init__(answer)

    def answer(self, exchange: Exchange) -> Reply:
        return answer(exchange)

    async def hang_up(self) -> None:
        """Close every connection, as a provider does with those that were idle for long."""
        for connection in tuple(self._open):
            await connection.abort()
