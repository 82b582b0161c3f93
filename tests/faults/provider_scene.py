"""A server before providers that do wrong what a prompt asks them to, and the judge of what its observers are told."""

import asyncio
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from realtime.attempts import RetryRules
from realtime.breaker import BreakerRules
from realtime.catalogue import Catalogue
from realtime.deployments import Deployment
from realtime.providers.base import Provider
from realtime.server.app import Application
from tests.history.checker import check
from tests.history.rows import Settled
from tests.support.http import read_text, request, start
from tests.support.observer import Observer
from tests.support.raw import WIRES as TRANSCRIPTS
from tests.support.recording import Recording
from tests.support.server import RunningServer, serving
from tests.upstream import STALL, Exchange, Reply, Upstream

from .provider_faults import FAULTS, Fault, echoing
from .provider_wires import SECRET, TEXT, WIRES, Wire

_KINDS = list(FAULTS)
_WEIGHTS = [fault.weight for fault in FAULTS.values()]
# The number of what takes the connections of a provider that is full.
_HELD = 0


@dataclass(frozen=True)
class _Case:
    """What one generation meets: so many times a fault, and then, if it is asked again, a whole answer."""

    what: str
    wire: Wire
    fault: Fault
    fails: int
    tries: int
    exchanges: list[Exchange] = field(default_factory=list)

    @property
    def recovers(self) -> bool:
        """The last try gets the answer."""
        return self.tries > self.fails

    @property
    def text(self) -> str:
        """What is said in all."""
        return TEXT if self.recovers or self.fault.said else ""


class Scene:
    """See the module; `acting` sets one up.

    Attributes:
        seen: How often each fault was met.
        transcripts: How many were read.
        complaints: What the loop had nobody else to tell, such as an exception that no one retrieved.
    """

    server: RunningServer

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.recording = Recording()
        self.upstream = Upstream(self._reply)
        self.providers: dict[tuple[str, str], Provider] = {}
        self.seen: Counter[str] = Counter()
        self.transcripts = 0
        self.complaints: list[str] = []
        self._attempts = rng.choice((1, 3, 6))
        self._cases: dict[int, _Case] = {}

    def attach(self, application: Application) -> None:
        """Offer the providers, with as many tries as this scene has."""
        rules = RetryRules(self._attempts, backoff_s=0.001, longest_backoff_s=0.002, least=10**6)
        offered = {f"{name}-{where}": [Deployment(one, alias=name)] for (name, where), one in self.providers.items()}
        application.sessions.replace_catalogue(Catalogue(offered, retries=rules))
        self.recording.attach(application)

    async def hold(self, name: str) -> None:
        """Take the one connection of a provider, until all is over."""
        self._cases[_HELD] = _Case("", WIRES[name], Fault("", lambda wire, _: Reply([*wire.begun, STALL])), 1, 1)
        generation = await start(self.server.address, model=f"{name}-full/m", prompt=f"<{_HELD}>")
        await self.server.reached(generation, 3)

    async def fail_one(self, number: int) -> None:
        """Start a generation that meets a fault, and judge what its observers are told."""
        name = self.rng.choice(sorted(WIRES))
        (kind,) = self.rng.choices(_KINDS, _WEIGHTS)
        fault = FAULTS[kind]
        most = self._attempts if fault.again and not fault.said else 1
        # An answer that comes behind a fault would have to keep the deadline that the fault was given.
        fails = self.rng.randint(1, most) if fault.where == "open" and not fault.deadlines else most
        case = _Case(f"{kind} of {name}", WIRES[name], fault, fails, min(fails + 1, most))
        alias, provider = f"{name}-{number}", self.providers[name, fault.where]
        offered: Any = self.server.sessions.catalogue.deployments
        # One of its own: what a fault teaches about a deployment would change what the next generation meets there.
        offered[alias] = (Deployment(provider, alias=name, breaker=BreakerRules(failures=1000)),)
        self._cases[number] = case
        asked = {"model": f"{alias}/m", "prompt": f"{SECRET} <{number}>", "deadlines": fault.deadlines}
        await self._observe(await start(self.server.address, **asked), case)
        self.seen[kind] += 1
        del self._cases[number], offered[alias]

    async def settle(self) -> None:
        """Judge what shows when all is over: the metrics, the ledger, and what the loop was left with."""
        metrics = (await request(self.server.address, "GET", "/metrics")).body.decode()
        assert "realtime_attempts" in metrics
        assert SECRET not in metrics
        await self.recording.settled(self.seen.total())
        settled = Counter(row.generation for row in self.recording.rows if isinstance(row, Settled))
        assert (len(settled), set(settled.values())) == (self.seen.total(), {1})
        assert self.complaints == []

    async def _observe(self, generation: str, case: _Case) -> None:
        """Watch it on two wires of five, and ask for what became of it."""
        first, second = self.rng.sample(["text", *TRANSCRIPTS], 2)
        await asyncio.gather(*(self._watch(generation, wire, case) for wire in (first, second)))
        shown = await request(self.server.address, "GET", f"/v1/generations/{generation}")
        assert SECRET not in repr(shown), case.what
        if case.fault.where == "open" and not case.fault.deadlines:
            # A deadline may be over before the request has arrived.
            assert len(case.exchanges) == case.tries, case.what

    async def _watch(self, generation: str, wire: Any, case: _Case) -> None:
        self.transcripts += 1
        if wire == "text":
            answer = await read_text(self.server.address, generation)
            assert answer.body.decode() == case.text, case.what
            # It has no other way to say that there should be more.
            assert answer.complete is case.recovers, case.what
            assert SECRET not in repr(answer), case.what
        else:
            observer = Observer(generation, f"{self.transcripts} on {wire}", self.recording.rows)
            await observer.follow(self.server.address, wire)
            assert SECRET not in repr([observer.frames, observer.controls]), case.what
            _judge(case, observer.events)

    def _reply(self, exchange: Exchange) -> Reply:
        found = re.search(rb"<(\d+)>", exchange.raw)
        assert found is not None
        case = self._cases[int(found[1])]
        case.exchanges.append(exchange)
        if len(case.exchanges) > case.fails:
            return Reply(case.wire.whole, headers=echoing(exchange))
        return case.fault.reply(case.wire, exchange)


def _judge(case: _Case, events: list[dict[str, Any]]) -> None:
    """One end, with the right code; every try and why it failed; all that was said."""
    finished = events[-1]
    assert [event for event in events if event["type"] == "finished"] == [finished], case.what
    assert finished["outcome"] == ("completed" if case.recovers else "failed"), case.what
    assert "".join(event["text"] for event in events if event["type"] == "text") == case.text, case.what
    tries = [event for event in events if event["type"] == "attempt"]
    assert [event["n"] for event in tries] == list(range(1, case.tries + 1)), case.what
    errors = [event["error"] for event in tries[1:]] + ([] if case.recovers else [finished["error"]])
    told = {(error["code"], error.get("retry_after_s")) for error in errors}
    assert told == {(case.fault.code, case.fault.retry_after_s)}, case.what


@asynccontextmanager
async def acting(rng: Random) -> AsyncIterator[Scene]:
    """A scene until the block is left; the history of all that happened in it is checked then."""
    scene, loop = Scene(rng), asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: scene.complaints.append(str(context)))
    with socket.socket() as deaf:
        # Bound, so that nobody else can listen there, and not listening itself.
        deaf.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        async with scene.upstream as upstream:
            for name, wire in WIRES.items():
                scene.providers[name, "open"] = wire.make(upstream.url, 1000)
                scene.providers[name, "full"] = wire.make(upstream.url, 1)
                scene.providers[name, "closed"] = wire.make(nowhere, 1000)
            async with serving(prepare=scene.attach) as scene.server:
                for name in WIRES:
                    await scene.hold(name)
                yield scene
    assert check(scene.recording.rows) == []
