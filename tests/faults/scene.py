"""A server between readers and an upstream of any mood, and what must be left of them when all is over: nothing."""

import asyncio
import gc
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import psutil

from realtime.hooks import GenerationEnded, GenerationStarted, ObservationEnded, ObservationStarted, Record
from realtime.principal import Principal
from realtime.providers.anthropic import AnthropicProvider
from realtime.providers.openai import OpenAIProvider
from realtime.request import StartRequest
from realtime.server.app import Application
from tests.history.checker import check
from tests.support.http import stop
from tests.support.recording import Recording
from tests.support.server import RunningServer, serving
from tests.upstream import FIN, RESET, STALL, Exchange, Reply, Upstream, chat, messages

from .chance import chance

# Connections to each provider; fewer than are wanted at once.
_POOL = 6
# What is late by so much will not come.
_SETTLES_S = 20.0
_LOOK_AGAIN_S = 0.01
# Looks after which something that has not changed is taken not to.
_STEADY = 20


class Scene:
    """See the module; `acting` sets one up.

    Attributes:
        complaints: What the loop had nobody else to tell, such as an exception that no one retrieved.
    """

    server: RunningServer

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.recording = Recording()
        self.upstream = Upstream(self._reply)
        self.providers: dict[str, Any] = {}
        self.complaints: list[str] = []
        self._began: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()
        self._observations = 0

    def attach(self, application: Application) -> None:
        """Note what this application does, and have it take its time to admit a start."""
        self.recording.attach(application)
        sessions: Any = application.sessions
        sessions._hooks._hooks = (*sessions._hooks._hooks, self._note)
        sessions._before_start = self._admit

    def body(self, **fields: Any) -> dict[str, Any]:
        """A request for either provider, abandoned as soon as nobody observes it any more."""
        return {"model": f"{self.rng.choice(sorted(self.providers))}/m", "prompt": "x", "grace": 0, **fields}

    async def turns(self) -> None:
        """Let the loop go round: not at all, for a step or two, for the time of a whole answer."""
        for _ in range(self.rng.randrange(self.rng.choice((1, 10, 40, 150)))):
            await asyncio.sleep(0)

    async def end(self, generation: str) -> None:
        """Stop a generation and wait until it has ended."""
        await stop(self.server.address, generation)
        await self.server.finished(generation)

    async def settle(self) -> tuple[int, int]:
        """End what still runs and wait until nothing is in use; the tasks and descriptors that there are then."""
        for generation in tuple(self.server.sessions._sessions):
            await self.end(generation)
        await until(lambda: self._in_use() == {}, lambda: f"in use: {self._in_use()}")
        # Idle connections to the provider are kept on purpose; closed from there, they go.
        for connection in tuple(self.upstream._open):
            await connection.abort()
        gc.collect()
        seen: deque[tuple[int, int]] = deque(maxlen=_STEADY)

        def steady() -> bool:
            # What is closed is gone some turns later, on both sides.
            seen.append((len(asyncio.all_tasks()), psutil.Process().num_fds()))
            return len(seen) == _STEADY and len(set(seen)) == 1

        await until(steady, lambda: f"tasks and descriptors come and go: {seen}")
        return seen[-1]

    def _in_use(self) -> dict[str, int]:
        """Whatever is not back where it belongs."""
        statistics = self.server.sessions.statistics()
        counts = {
            "live": statistics.live,
            "observers": self._observations,
            "tasks": statistics.tasks,
            "streams": self.server.application.service.open_streams,
            "upstream": sum(not (one.answered.is_set() or one.closed.is_set()) for one in self.upstream.exchanges),
            **{alias: in_use(provider) for alias, provider in self.providers.items()},
        }
        return {name: count for name, count in counts.items() if count}

    def assert_ended_once(self) -> None:
        """Every generation that began has one end, one summary, and a history without a fault."""
        assert self._began == self._ended
        assert set(self._began.values()) == {1}
        assert check(self.recording.rows) == []
        assert self.complaints == []

    def _note(self, record: Record, /) -> None:
        match record:
            case GenerationStarted(meta):
                self._began[meta.generation] += 1
            case GenerationEnded(summary):
                self._ended[summary.generation] += 1
            case ObservationStarted():
                self._observations += 1
            case ObservationEnded():
                self._observations -= 1

    async def _admit(self, _: Principal, __: StartRequest) -> None:
        await self.turns()

    def _reply(self, exchange: Exchange) -> Reply:
        """Whatever a provider may do: say nothing, or some of it, or all; fall silent, or break off."""
        tokens = [f"{n} " for n in range(self.rng.randrange(12))]
        said = messages.text(*tokens) if exchange.path.endswith("/messages") else chat.text(*tokens)
        some = said[: self.rng.randrange(len(said))]
        moods = [
            Reply(before=[STALL]),
            Reply([b": hm\n\n", STALL]),
            Reply([*some, STALL]),
            Reply([*some, RESET]),
            Reply([*some, FIN]),
            Reply(said),
        ]
        return self.rng.choices(moods, (2, 1, 3, 1, 1, 3))[0]


def in_use(provider: Any) -> int:
    """Connections of a provider's pool that are taken."""
    transport = provider._client._client._transport
    taken: int = transport.open_connections - transport.idle_connections + transport.waiting_requests
    return taken


async def until(condition: Callable[[], bool], otherwise: Callable[[], str]) -> None:
    """Wait for something that nobody has an event for."""
    try:
        async with asyncio.timeout(_SETTLES_S):
            while not condition():  # noqa: ASYNC110 - see above
                await asyncio.sleep(_LOOK_AGAIN_S)
    except TimeoutError:
        raise AssertionError(otherwise()) from None


@asynccontextmanager
async def acting() -> AsyncIterator[Scene]:
    """A scene, until the block is left."""
    scene, loop = Scene(chance()), asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: scene.complaints.append(str(context)))
    async with scene.upstream as upstream:
        scene.providers["openai"] = OpenAIProvider("key", upstream.url, max_connections=_POOL)
        scene.providers["anthropic"] = AnthropicProvider("key", upstream.url, max_connections=_POOL)
        async with serving(scene.providers, prepare=scene.attach) as scene.server:
            yield scene
