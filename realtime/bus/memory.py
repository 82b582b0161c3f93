"""The bus of one process: logs in a dict.

All mutable state is in `__init__`, and every method that changes it runs without awaiting, so each is one atomic step
of the loop.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..cursor import Cursor, encode_epoch
from ..errors import RealtimeError
from ..events import StoppedBy
from ..log import EventLog, Meta, started
from ..warm import Warm
from .base import Claim, Orphaned, Page
from .memory_writer import MemoryWriter
from .retention import Retention

__all__ = ["MemoryBus", "Retention"]

# Tenant, subject, and the idempotency key of that subject's choosing.
_ClaimKey = tuple[str, str | None, str]
# Tenant and name; the logs of all its subjects that use the name are in one list, each seen by its own.
_Conversation = tuple[str, str]


class _Kept(NamedTuple):
    """One log, its writer, and the idempotency key that leads to it."""

    log: EventLog
    writer: MemoryWriter
    claim: _ClaimKey | None


class MemoryBus:
    """See `Bus`. Logs end with the process.

    Args:
        clock: Monotonic seconds, for retention.
    """

    def __init__(self, retention: Retention | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._retention = retention or Retention()
        self._clock = clock
        self._epoch = 0
        self._ended_bytes = 0
        self._warm = Warm()
        self._logs: dict[tuple[str, str], _Kept] = {}
        # Ended logs, oldest first: until when they are kept and what they were charged.
        self._ended: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()
        self._claims: dict[_ClaimKey, tuple[bytes, str]] = {}
        self._conversations: dict[_Conversation, list[EventLog]] = {}
        self._created: dict[_Conversation, set[asyncio.Future[None]]] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def healthy(self) -> bool:
        return True

    async def open(self, orphaned: Orphaned) -> None:
        """Logs end with the process, and so do their writers: there are no orphans."""

    async def claimed(self, tenant: str, subject: str | None, claim: Claim) -> EventLog | None:
        self._expire()
        return self._claimed((tenant, subject, claim.idempotency_key or ""), claim)

    async def create(self, meta: Meta, claim: Claim) -> MemoryWriter | EventLog:
        self._expire()
        key = None
        if claim.idempotency_key is not None:
            key = (meta.tenant, meta.subject, claim.idempotency_key)
            earlier = self._claimed(key, claim)
            if earlier is not None:
                return earlier
        if claim.exclusive:
            self._refuse_busy(meta)
        writer = self._new_writer(meta)
        self._logs[meta.tenant, meta.generation] = _Kept(writer.log, writer, key)
        if key is not None:
            self._claims[key] = (claim.fingerprint, meta.generation)
        return writer

    def _claimed(self, key: _ClaimKey, claim: Claim) -> EventLog | None:
        if key not in self._claims:
            return None
        fingerprint, generation = self._claims[key]
        if fingerprint != claim.fingerprint:
            raise RealtimeError("idempotency_mismatch", field="Idempotency-Key")
        return self._logs[key[0], generation].log

    def _refuse_busy(self, meta: Meta) -> None:
        logs = self._conversations.get((meta.tenant, meta.conversation or ""), [])
        for log in reversed(logs):
            if log.finished is None and log.meta.subject == meta.subject:
                raise RealtimeError("conversation_busy", field="conversation", generation=log.meta.generation)

    def _new_writer(self, meta: Meta) -> MemoryWriter:
        # Greater than every epoch before it, and than those of an earlier process: no cursor fits two branches.
        self._epoch = max(self._epoch + 1, int(time.time() * 1000))
        limit = None if meta.retain == "window" else self._retention.log_limit_bytes
        log = EventLog(meta, encode_epoch(self._epoch), limit_bytes=limit, warm=self._warm)
        if meta.conversation is not None:
            name = (meta.tenant, meta.conversation)
            self._conversations.setdefault(name, []).append(log)
            for waiter in self._created.pop(name, ()):
                if not waiter.done():
                    waiter.set_result(None)
        writer = MemoryWriter(log, self._retention, self._note_end)
        writer.append(started(meta))
        return writer

    async def find(self, tenant: str, generation: str, cursor: Cursor | None = None) -> EventLog | None:  # noqa: ARG002
        self._expire()
        found = self._logs.get((tenant, generation))
        return found.log if found else None

    async def stop(self, tenant: str, generation: str, by: StoppedBy) -> EventLog | None:
        found = self._logs.get((tenant, generation))
        if found is None:
            return None
        found.writer.request_stop(by)
        return found.log

    async def conversation(self, tenant: str, subject: str | None, name: str) -> Sequence[EventLog]:
        self._expire()
        return self._conversation(tenant, subject, name)

    def _conversation(self, tenant: str, subject: str | None, name: str) -> Sequence[EventLog]:
        logs = self._conversations.get((tenant, name), ())
        return [log for log in logs if subject is None or log.meta.subject == subject]

    async def page(self, tenant: str, subject: str | None, before: str | None, limit: int) -> Page:
        self._expire()
        logs: list[EventLog] = []
        skipping = before is not None
        for (owner, generation), (log, _, _) in reversed(self._logs.items()):
            if owner == tenant and not skipping and (subject is None or log.meta.subject == subject):
                if len(logs) == limit:
                    return Page(logs, logs[-1].meta.generation)
                logs.append(log)
            skipping = skipping and generation != before
        if skipping:
            raise RealtimeError("bad_request", "before names a generation that is no longer kept.", field="before")
        return Page(logs, None)

    async def wait_created(self, tenant: str, subject: str | None, name: str, known: str | None) -> None:
        while True:
            logs = self._conversation(tenant, subject, name)
            if logs and logs[-1].meta.generation != known:
                return
            await self._wait_any((tenant, name))

    async def _wait_any(self, conversation: _Conversation) -> None:
        """Return when a log is created in the conversation, by whomever."""
        waiter = asyncio.get_running_loop().create_future()
        self._created.setdefault(conversation, set()).add(waiter)
        try:
            await waiter
        finally:
            waiting = self._created.get(conversation)
            if waiting is not None:
                waiting.discard(waiter)
                if not waiting:
                    del self._created[conversation]

    async def erase(self, tenant: str, generation: str) -> bool:
        if (tenant, generation) not in self._ended:
            return False
        self._forget((tenant, generation))
        return True

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _note_end(self, log: EventLog) -> None:
        key = (log.meta.tenant, log.meta.generation)
        charge = log.memory_bytes
        self._ended[key] = (self._clock() + self._retention.ended_s, charge)
        self._ended_bytes += charge
        self._expire()

    def _expire(self) -> None:
        """Forget what is kept too long or takes too much, oldest first, and come back for the next, asked or not."""
        now = self._clock()
        while self._ended:
            key, (until, _) = next(iter(self._ended.items()))
            if until > now and self._ended_bytes <= self._retention.ended_bytes:
                if self._timer is None:
                    self._timer = asyncio.get_running_loop().call_later(until - now, self._expire_by_timer)
                return
            self._forget(key)

    def _expire_by_timer(self) -> None:
        self._timer = None
        self._expire()

    def _forget(self, key: tuple[str, str]) -> None:
        _, charge = self._ended.pop(key)
        self._ended_bytes -= charge
        log, _, claim = self._logs.pop(key)
        log.retire()
        if claim is not None:
            self._claims.pop(claim, None)
        if log.meta.conversation is not None:
            name = (log.meta.tenant, log.meta.conversation)
            self._conversations[name].remove(log)
            if not self._conversations[name]:
                del self._conversations[name]
