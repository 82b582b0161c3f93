"""A server before providers that do wrong what a prompt asks them to, round after round."""

import asyncio
import gc
import itertools
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from realtime.attempts import RetryRules
from realtime.breaker import BreakerRules
from realtime.catalogue import Catalogue
from realtime.deployments import Deployment
from realtime.hooks import Record
from realtime.providers.base import Provider
from tests.history.checker import check
from tests.history.rows import Settled
from tests.support.http import read_text, request, start
from tests.support.observer import Observer
from tests.support.raw import WIRES as TRANSCRIPTS
from tests.support.recording import Recording
from tests.support.server import RunningServer, serving
from tests.upstream import STALL, Exchange, Reply, Upstream

from .provider_case import Case
from .provider_faults import FAULTS, Fault
from .provider_wires import SECRET, WIRES
from .scene import in_use, until

_KINDS = list(FAULTS)
_WEIGHTS = [fault.weight for fault in FAULTS.values()]
# Of ended logs, each of which is asked for once more and never again.
_KEPT_BYTES = 1 << 20
# Where no fault is about them. What is held says nothing for a whole round, and a machine may stand still for a while.
_DEADLINES = {"connect_s": 3600.0, "idle_s": 3600.0}


class _Records(Recording):
    """A recording that keeps of the hooks' records only those that should never have been given."""

    def __init__(self) -> None:
        super().__init__()
        self.telling: list[str] = []

    def _note(self, record: Record, /) -> None:
        if SECRET in repr(record):
            self.telling.append(repr(record))


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
        self.records = _Records()
        self.seen: Counter[str] = Counter()
        self.transcripts = 0
        self.complaints: list[str] = []
        self._providers: dict[tuple[str, str], Provider] = {}
        self._attempts = 0
        self._numbers = itertools.count()
        # Of this round, by number: a request may arrive when its generation is over.
        self._cases: dict[int, Case] = {}

    @asynccontextmanager
    async def round(self) -> AsyncIterator[None]:
        """Offer new providers, with as many tries as this round has; when it is over, judge what is left of it.

        The server goes on from one round to the next, because another one would be there for ever: FastAPI keeps the
        endpoints of every application, and with them twenty megabytes.
        """
        self._attempts = self.rng.choice((1, 3, 6))
        with socket.socket() as deaf:
            # Bound, so that nobody else can listen there, and not listening itself.
            deaf.bind(("127.0.0.1", 0))
            async with Upstream(self._reply) as upstream:
                self._offer(upstream.url, f"http://127.0.0.1:{deaf.getsockname()[1]}")
                for name in WIRES:
                    await self._hold(name)
                yield
                await self._get_back(all_but={(name, "full"): 1 for name in WIRES})
            # Gone, the upstream has let go of what was held.
            await self._get_back(all_but={})
            await self._settle()

    async def fail_one(self, place: int) -> None:
        """Start a generation that meets a fault, and judge what its observers are told.

        Args:
            place: Of those that fail at once. It names an alias, and with that a label of the metrics.
        """
        name = self.rng.choice(sorted(WIRES))
        (kind,) = self.rng.choices(_KINDS, _WEIGHTS)
        fault = FAULTS[kind]
        most = self._attempts if fault.again and not fault.said else 1
        # An answer that comes behind a fault would have to keep the deadline that the fault was given.
        fails = self.rng.randint(1, most) if fault.where == "open" and not fault.deadlines else most
        case = Case(f"{kind} of {name}", WIRES[name], fault, fails, min(fails + 1, most))
        alias, provider, number = f"place-{place}", self._providers[name, fault.where], self._expect(case)
        offered: Any = self.server.sessions.catalogue.deployments
        # One of its own: what a fault teaches about a deployment would change what the next generation meets there.
        offered[alias] = (Deployment(provider, alias=name, breaker=BreakerRules(failures=1000)),)
        asked = {"model": f"{alias}/m", "prompt": f"{SECRET} <{number}>", "deadlines": fault.deadlines}
        await self._observe(await start(self.server.address, **asked), case)
        self.seen[kind] += 1

    def _offer(self, url: str, nowhere: str) -> None:
        """Have providers of every wire in place of those of the last round, which are closed."""
        for name, wire in WIRES.items():
            self._providers[name, "open"] = wire.make(url, 1000)
            self._providers[name, "full"] = wire.make(url, 1)
            self._providers[name, "closed"] = wire.make(nowhere, 1000)
        rules = RetryRules(self._attempts, backoff_s=0.001, longest_backoff_s=0.002, least=10**6)
        offered = {f"{name}-{where}": [Deployment(one, alias=name)] for (name, where), one in self._providers.items()}
        self.server.sessions.replace_catalogue(Catalogue(offered, retries=rules))

    async def _hold(self, name: str) -> None:
        """Take the one connection of a provider, until the round is over."""
        number = self._expect(Case("", WIRES[name], Fault("", lambda wire, _: Reply([*wire.begun, STALL])), 1, 1))
        generation = await start(self.server.address, model=f"{name}-full/m", prompt=f"<{number}>")
        await self.server.reached(generation, 3)

    def _expect(self, case: Case) -> int:
        """The number that has a prompt answered as this case would have it."""
        number = next(self._numbers)
        self._cases[number] = case
        return number

    def _reply(self, exchange: Exchange) -> Reply:
        found = re.search(rb"<(\d+)>", exchange.raw)
        assert found is not None
        return self._cases[int(found[1])].reply(exchange)

    async def _observe(self, generation: str, case: Case) -> None:
        """Watch it on two wires of five, and ask for what became of it."""
        first, second = self.rng.sample(["text", *TRANSCRIPTS], 2)
        await asyncio.gather(*(self._watch(generation, wire, case) for wire in (first, second)))
        shown = await request(self.server.address, "GET", f"/v1/generations/{generation}")
        assert SECRET not in repr(shown), case.what
        if case.fault.where == "open" and not case.fault.deadlines:
            # A deadline may be over before the request has arrived.
            assert len(case.exchanges) == case.tries, case.what

    async def _watch(self, generation: str, wire: Any, case: Case) -> None:
        self.transcripts += 1
        if wire == "text":
            answer = await read_text(self.server.address, generation)
            assert answer.body.decode() == case.text, case.what
            # It has no other way to say that there should be more.
            assert answer.complete is case.recovers, case.what
            assert SECRET not in repr(answer), case.what
        else:
            observer = Observer(generation, f"{self.transcripts} on {wire}", self.records.rows)
            await observer.follow(self.server.address, wire)
            assert SECRET not in repr([observer.frames, observer.controls]), case.what
            case.judge(observer.events)

    async def _settle(self) -> None:
        """Judge what shows when all is over: metrics, ledger, history, hooks, and what nobody else was told."""
        metrics = (await request(self.server.address, "GET", "/metrics")).body.decode()
        assert "realtime_attempts" in metrics
        assert SECRET not in metrics
        records, begun = self.records, len(self._cases)
        await records.settled(begun)
        settled = Counter(row.generation for row in records.rows if isinstance(row, Settled))
        assert (len(settled), set(settled.values())) == (begun, {1})
        found = [*check(records.rows), *records.telling, *self.complaints]
        assert found == [], found[:3]
        records.rows.clear()
        self._cases.clear()
        # What the tests' own connections leave are cycles, each with all that was said on it.
        gc.collect()

    async def _get_back(self, *, all_but: dict[tuple[str, str], int]) -> None:
        """Wait until nobody uses a connection to the providers but these."""

        def taken() -> dict[tuple[str, str], int]:
            counts = {which: in_use(provider) for which, provider in self._providers.items()}
            return {which: count for which, count in counts.items() if count}

        await until(lambda: taken() == all_but, lambda: f"connections that are taken: {taken()}")


@asynccontextmanager
async def acting(rng: Random) -> AsyncIterator[Scene]:
    """A scene until the block is left."""
    scene, loop = Scene(rng), asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: scene.complaints.append(str(context)))
    settings: dict[str, Any] = {"ended_bytes": _KEPT_BYTES, **_DEADLINES}
    async with serving(prepare=scene.records.attach, **settings) as scene.server:
        yield scene
    assert scene.complaints == []
