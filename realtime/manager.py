"""Starts generations, finds them again, stops them: the one place that says who may do what.

It knows providers, the bus and the policy, and no transport. Endpoints of whatever wire authenticate, call one method
here, and get an `EventLog` or a `RealtimeError` back.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager

import msgspec

from .admission import checked_prompt, new_meta
from .bus.base import Bus, Claim, Page, Writer
from .bus.memory import MemoryBus
from .catalogue import Catalogue
from .cursor import Cursor
from .errors import RealtimeError
from .events import State, StoppedBy, Summary
from .hooks import (
    GenerationEnded,
    GenerationLost,
    GenerationStarted,
    GenerationTakenOver,
    Hook,
    Hooks,
    StopRequested,
    Wire,
)
from .log import EventLog, Meta
from .message import Message, assemble
from .observation import Observation
from .orphans import orphan_end, orphan_summary
from .policy import Policy
from .principal import Principal, Scope
from .providers.base import Provider
from .request import StartRequest
from .sessions import Session
from .tasks import TaskRegistry

_logger = logging.getLogger("realtime")

# What a stop may take until the log is sealed, for a caller who waits to start the next generation.
_REPLACE_S = 10.0
# Between two chances to start a generation while the server is full: the age of an average short answer.
_RETRY_AFTER_S = 5.0
# For sessions to close their upstream sockets and settle once they were told to end.
_SETTLE_S = 10.0

BeforeStart = Callable[[Principal, StartRequest], Awaitable[StartRequest | None]]
OnFinished = Callable[[Summary, Message], Awaitable[None]]


class Start(msgspec.Struct, frozen=True):
    """The log of a started generation; `replayed` when an earlier start with the same key made it."""

    log: EventLog
    replayed: bool


class StopAnswer(msgspec.Struct, frozen=True):
    """The state a stop left the generation in: `stopping`, or `finished` with the outcome in the log."""

    log: EventLog
    state: State


class Statistics(msgspec.Struct, frozen=True):
    live: int
    observers: int
    tasks: int
    draining: bool


class SessionManager:
    """See the module.

    Args:
        providers: By alias, the part of `model` before the first slash; or a catalogue of them, with their deployments.
        hooks: Called with every record of `hooks.Record`.
        before_start: Awaited before a generation is admitted; may return another request, or raise `RealtimeError`.
        on_finished: Awaited once per generation with its summary and its whole message, in a task of its own.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider] | Catalogue,
        *,
        bus: Bus | None = None,
        policy: Policy | None = None,
        hooks: Iterable[Hook] = (),
        before_start: BeforeStart | None = None,
        on_finished: OnFinished | None = None,
    ) -> None:
        self.catalogue = providers if isinstance(providers, Catalogue) else Catalogue.of(providers)
        self.policy = policy or Policy()
        self.draining = False
        self.tasks = TaskRegistry()
        self._bus = bus or MemoryBus()
        self._hooks = Hooks(hooks)
        self._before_start = before_start
        self._on_finished = on_finished
        self._sessions: dict[str, Session] = {}

    def __repr__(self) -> str:
        return f"<SessionManager live={len(self._sessions)} draining={self.draining}>"

    def statistics(self) -> Statistics:
        """What is going on right now."""
        observers = sum(session.log.observers for session in self._sessions.values())
        return Statistics(len(self._sessions), observers, len(self.tasks), self.draining)

    # Start.

    async def start(
        self,
        principal: Principal,
        request: StartRequest,
        *,
        idempotency_key: str | None = None,
        provider: Provider | None = None,
    ) -> Start:
        """Admit a generation and begin to drive it; its `started` event is in the log when this returns.

        Args:
            provider: Drive this instead of the one that `request.model` names: any agent, chain or query.

        Raises:
            RealtimeError: `bad_request`, `forbidden`, `draining`, `overloaded`, `conversation_busy`,
                `idempotency_mismatch`, or what `before_start` raises.
        """
        principal.require("start")
        # Of what the caller sent: a `before_start` that adds the time of day must not make a repeat another request.
        fingerprint = b"" if idempotency_key is None else request.fingerprint()
        claim = Claim(idempotency_key, fingerprint, exclusive=request.if_busy != "allow")
        if idempotency_key is not None:
            earlier = await self._bus.claimed(principal.tenant, principal.subject, claim)
            if earlier is not None:
                return Start(earlier, replayed=True)
        if self._before_start is not None:
            request = await self._before_start(principal, request) or request
        catalogue = self.catalogue if provider is None else Catalogue.of({request.provider: provider})
        attempts = catalogue.attempts(request.model, checked_prompt(request, self.policy))
        deadlines = self.policy.deadlines.shortened(request.deadlines)
        meta = new_meta(principal, request)
        with ExitStack() as unless_driven:
            # From now on: who replaces another generation waits for its end, and new settings may come meanwhile.
            catalogue.begin()
            unless_driven.callback(catalogue.end)
            writer = await self._create(principal, meta, claim, replace=request.if_busy == "replace")
            if isinstance(writer, EventLog):
                return Start(writer, replayed=True)
            session = Session(
                writer,
                attempts,
                deadlines=deadlines,
                grace_s=self.policy.grace(request),
                hooks=self._hooks,
                ask_stop=lambda by: self._ask_stop(meta, by),
            )
            self._sessions[meta.generation] = session
            self._hooks(GenerationStarted(meta))
            self.tasks.spawn(self._run(session, catalogue), f"session {meta.generation}")
            unless_driven.pop_all()
        return Start(writer.log, replayed=False)

    def _refuse_when_full(self) -> None:
        if self.draining:
            raise RealtimeError("draining", retry_after_s=_RETRY_AFTER_S)
        if len(self._sessions) >= self.policy.max_live:
            limit = self.policy.max_live
            raise RealtimeError(
                "overloaded", f"{limit} generations are live already.", limit=limit, retry_after_s=_RETRY_AFTER_S
            )

    async def _create(self, principal: Principal, meta: Meta, claim: Claim, *, replace: bool) -> Writer | EventLog:
        """Create the log; for `if_busy=replace`, after whoever is active was stopped."""
        deadline_s = asyncio.get_running_loop().time() + _REPLACE_S
        while True:
            # Each time: a drain may have begun while the one before was ending.
            self._refuse_when_full()
            try:
                return await self._bus.create(meta, claim)
            except RealtimeError as error:
                active = error.error.generation
                if error.code != "conversation_busy" or not replace or active is None:
                    raise
            await self._replace(principal, active, deadline_s)

    async def _replace(self, principal: Principal, active: str, deadline_s: float) -> None:
        log = await self.find(principal, active, "stop")
        await self._bus.stop(principal.tenant, active, "replaced")
        try:
            async with asyncio.timeout_at(deadline_s):
                while log.finished is None:
                    await log.wait(log.head)
        except TimeoutError:
            raise RealtimeError("conversation_busy", field="conversation", generation=active) from None

    # Find, observe, stop, erase.

    async def find(
        self, principal: Principal, generation: str, scope: Scope = "observe", *, cursor: Cursor | None = None
    ) -> EventLog:
        """The log of a generation that the principal may see.

        Args:
            cursor: Where whoever is to observe it was.

        Raises:
            RealtimeError: `forbidden` without the scope; the same `not_found` for unknown, foreign and evicted.
        """
        principal.require(scope)
        log = await self._bus.find(principal.tenant, generation, cursor)
        if log is None or not principal.sees(log.meta):
            raise RealtimeError(
                "not_found", "There is no such generation, or it is no longer kept.", field="generation"
            )
        return log

    def observe(self, log: EventLog, cursor: Cursor | None, wire: Wire) -> Observation:
        """Attach an observer to a log that `find` or `start` gave; the caller closes it."""
        return Observation(log, cursor, wire=wire, hooks=self._hooks)

    async def stop(self, principal: Principal, generation: str) -> StopAnswer:
        """Ask for the end of a generation; asking again, or after the end, is answered and changes nothing.

        Raises:
            RealtimeError: As `find`.
        """
        log = await self.find(principal, generation, "stop")
        if log.finished is None:
            self._hooks(StopRequested(log.meta, "owner", log.state))
            await self._bus.stop(principal.tenant, generation, "owner")
        return StopAnswer(log, log.state)

    async def erase(self, principal: Principal, generation: str) -> None:
        """Forget an ended generation.

        Raises:
            RealtimeError: As `find`, and `not_finished`.
        """
        log = await self.find(principal, generation, "erase")
        if log.finished is None or not await self._bus.erase(principal.tenant, generation):
            raise RealtimeError("not_finished", "Stop it first, or wait for its end.", generation=generation)

    async def page(self, principal: Principal, before: str | None, limit: int) -> Page:
        """Logs the principal may see, newest first, to see how each stands: `find` has those that are to be read."""
        principal.require("observe")
        if principal.only is not None:
            log = await self._bus.find(principal.tenant, principal.only)
            return Page([log] if log is not None and principal.sees(log.meta) else [], None)
        return await self._bus.page(principal.tenant, principal.subject, before, limit)

    async def conversation(self, principal: Principal, name: str, scope: Scope = "observe") -> Sequence[EventLog]:
        """The principal's kept logs of one conversation, oldest first, to see how each stands; `find` as for `page`."""
        principal.require(scope)
        logs = await self._bus.conversation(principal.tenant, principal.subject, name)
        return [log for log in logs if principal.sees(log.meta)]

    async def wait_created(self, principal: Principal, name: str, known: str | None) -> None:
        """Return when the newest log of a conversation that the principal sees is another than `known`."""
        principal.require("observe")
        while True:
            logs = await self._bus.conversation(principal.tenant, principal.subject, name)
            seen = [log.meta.generation for log in logs if principal.sees(log.meta)]
            if seen and seen[-1] != known:
                return
            # Of the same look: one that is created between two would be waited for in vain.
            latest = logs[-1].meta.generation if logs else None
            await self._bus.wait_created(principal.tenant, principal.subject, name, latest)

    async def models(self, principal: Principal) -> list[dict[str, str]]:
        """Every model that can be asked for: `id` as `start` takes it, and its provider's alias."""
        principal.require("observe")
        return await self.catalogue.models()

    # Ends.

    async def _run(self, session: Session, catalogue: Catalogue) -> None:
        try:
            summary = await session.run()
        finally:
            catalogue.end()
            self._sessions.pop(session.log.meta.generation, None)
        if summary is None:
            self._hooks(GenerationLost(session.log.meta))
        else:
            self.tasks.spawn(self._settle(summary, session.log), f"settle {summary.generation}")

    async def _settle(self, summary: Summary, log: EventLog) -> None:
        self._hooks(GenerationEnded(summary))
        if self._on_finished is not None:
            await self._on_finished(summary, assemble(entry.event for entry in log.since(0)))

    async def _end_orphan(self, writer: Writer) -> None:
        """End what another process has left behind; what is settled is settled by whoever ended it."""
        self._hooks(GenerationTakenOver(writer.log.meta))
        finished = orphan_end(writer.log, writer.stop_requested)
        if await writer.seal(finished) == "won":
            await self._settle(orphan_summary(writer.log, finished), writer.log)
        else:
            self._hooks(GenerationLost(writer.log.meta))

    def _ask_stop(self, meta: Meta, by: StoppedBy) -> None:
        """Stop through the bus, as anyone else would: it is the bus that makes a stop durable."""
        state = self._sessions[meta.generation].log.state
        self.tasks.spawn(self._give_up(meta, by, state), f"stop {meta.generation}")

    async def _give_up(self, meta: Meta, by: StoppedBy, state: State) -> None:
        log = await self._bus.stop(meta.tenant, meta.generation, by)
        # Refused while somebody observes it in another process, and asked again a while later.
        if log is not None and log.stopping:
            self._hooks(StopRequested(meta, by, state))

    def replace_catalogue(self, catalogue: Catalogue) -> None:
        """Offer these from now on. What runs goes on with what it was started with, which is closed after it."""
        old, self.catalogue = self.catalogue, catalogue
        self.tasks.spawn(old.close_when_idle(), f"close {old!r}")

    @property
    def healthy(self) -> bool:
        """Whether its bus works, as far as that knows."""
        return self._bus.healthy

    async def open(self) -> None:
        """Begin; before anything else. `lifespan` does it.

        Raises:
            RealtimeError: `bus_unavailable`.
        """
        await self._bus.open(self._end_orphan)

    async def drain(self, timeout_s: float) -> None:
        """Refuse starts, let what runs finish for `timeout_s`, then end the rest as `worker_shutdown`."""
        self.draining = True
        if await self.tasks.drain(timeout_s):
            return
        for session in list(self._sessions.values()):
            session.shut_down()
        if not await self.tasks.drain(_SETTLE_S):
            _logger.error("%d tasks did not end within %g s of the drain", len(self.tasks), _SETTLE_S)

    async def close(self) -> None:
        """End what runs and release providers and bus; for a lifespan's end."""
        await self.drain(0)
        await self.catalogue.close()
        await self._bus.close()

    @asynccontextmanager
    async def lifespan(self, _app: object = None) -> AsyncIterator[None]:
        """For `FastAPI(lifespan=sessions.lifespan)`: opens, and closes at the end."""
        await self.open()
        try:
            yield
        finally:
            await self.close()
