"""The bus of one process: logs in a dict, append and visible in the same moment.

All mutable state is the four dicts in `__init__`, and every method that changes them runs without awaiting, so each is
one atomic step of the loop.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from ..cursor import encode_epoch
from ..errors import RealtimeError
from ..events import AnyEvent, Finished, StoppedBy
from ..log import EventLog, Meta
from .base import Claim, Page, SealResult


class Retention(msgspec.Struct, frozen=True):
    """What is kept, and for how long.

    Attributes:
        log_limit_bytes: Payload of one log.
        window_events: Events that a `retain="window"` log keeps behind its head.
        ended_s: Seconds an ended log stays.
        ended_bytes: Memory all ended logs may take; beyond it the oldest go first.
    """

    log_limit_bytes: int = 2 * 2**20
    window_events: int = 1024
    ended_s: float = 600.0
    ended_bytes: int = 256 * 2**20


# Tenant, subject, and what the subject calls it: an idempotency key or a conversation.
_Name = tuple[str, str | None, str]


class MemoryWriter:
    """Appends straight into the log that observers read."""

    def __init__(self, log: EventLog, retention: Retention, ended: Callable[[EventLog], None]) -> None:
        self.log = log
        self.stop_requested: StoppedBy | None = None
        self._window = retention.window_events if log.meta.retain == "window" else None
        self._ended = ended
        self._on_stop: Callable[[StoppedBy], None] | None = None
        self._born = time.monotonic()

    def on_stop(self, callback: Callable[[StoppedBy], None]) -> None:
        self._on_stop = callback
        if self.stop_requested is not None:
            callback(self.stop_requested)

    def request_stop(self, by: StoppedBy) -> None:
        """Note the first wish to stop and tell the session."""
        if self.stop_requested is None and self.log.finished is None:
            self.stop_requested = by
            self.log.stopping = True
            if self._on_stop is not None:
                self._on_stop(by)

    def append(self, event: AnyEvent) -> int:
        seq = self.log.append(event, self._now_ms())
        if self._window is not None:
            self.log.trim(min(seq - self._window, self.log.slowest))
        return seq

    async def room(self) -> None:
        if self._window is not None:
            await self.log.wait_slowest(self.log.head - self._window)

    async def seal(self, finished: Finished) -> SealResult:
        if self.log.finished is not None:
            return "closed"
        self.log.append(finished, self._now_ms())
        self._ended(self.log)
        return "won"

    def _now_ms(self) -> int:
        return int((time.monotonic() - self._born) * 1000)


class _Kept(NamedTuple):
    """One log, its writer, and the idempotency key that leads to it."""

    log: EventLog
    writer: MemoryWriter
    claim: _Name | None


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
        self._logs: dict[tuple[str, str], _Kept] = {}
        # Ended logs, oldest first: when they ended and what they were charged.
        self._ended: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()
        self._claims: dict[_Name, tuple[bytes, str]] = {}
        self._conversations: dict[_Name, list[EventLog]] = {}
        self._created: dict[_Name, set[asyncio.Future[None]]] = {}

    async def create(self, meta: Meta, claim: Claim) -> MemoryWriter | EventLog:
        self._expire()
        key = None
        if claim.idempotency_key is not None:
            key = (meta.tenant, meta.subject, claim.idempotency_key)
            if key in self._claims:
                return self._replay(meta.tenant, *self._claims[key], claim)
        if meta.conversation is not None and claim.exclusive:
            self._refuse_busy((meta.tenant, meta.subject, meta.conversation))
        writer = self._new_writer(meta)
        self._logs[meta.tenant, meta.generation] = _Kept(writer.log, writer, key)
        if key is not None:
            self._claims[key] = (claim.fingerprint, meta.generation)
        return writer

    def _replay(self, tenant: str, fingerprint: bytes, generation: str, claim: Claim) -> EventLog:
        if fingerprint != claim.fingerprint:
            raise RealtimeError("idempotency_mismatch", field="Idempotency-Key")
        return self._logs[tenant, generation].log

    def _refuse_busy(self, conversation: _Name) -> None:
        for log in reversed(self._conversations.get(conversation, [])):
            if log.finished is None:
                raise RealtimeError("conversation_busy", field="conversation", generation=log.meta.generation)

    def _new_writer(self, meta: Meta) -> MemoryWriter:
        # Greater than every epoch before it, and than those of an earlier process: no cursor fits two branches.
        self._epoch = max(self._epoch + 1, int(time.time() * 1000))
        limit = None if meta.retain == "window" else self._retention.log_limit_bytes
        log = EventLog(meta, encode_epoch(self._epoch), limit_bytes=limit)
        writer = MemoryWriter(log, self._retention, self._note_end)
        if meta.conversation is not None:
            name = (meta.tenant, meta.subject, meta.conversation)
            self._conversations.setdefault(name, []).append(log)
            for waiter in self._created.pop(name, ()):
                if not waiter.done():
                    waiter.set_result(None)
        return writer

    async def find(self, tenant: str, generation: str) -> EventLog | None:
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
        return tuple(self._conversations.get((tenant, subject, name), ()))

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
        return Page(logs, None)

    async def wait_created(self, tenant: str, subject: str | None, name: str, known: str | None) -> None:
        key = (tenant, subject, name)
        logs = self._conversations.get(key)
        if logs and logs[-1].meta.generation != known:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._created.setdefault(key, set()).add(waiter)
        try:
            await waiter
        finally:
            waiting = self._created.get(key)
            if waiting is not None:
                waiting.discard(waiter)
                if not waiting:
                    del self._created[key]

    async def erase(self, tenant: str, generation: str) -> bool:
        if (tenant, generation) not in self._ended:
            return False
        self._forget((tenant, generation))
        return True

    async def close(self) -> None:
        return None

    def _note_end(self, log: EventLog) -> None:
        key = (log.meta.tenant, log.meta.generation)
        charge = log.memory_bytes
        self._ended[key] = (self._clock() + self._retention.ended_s, charge)
        self._ended_bytes += charge
        self._expire()

    def _expire(self) -> None:
        now = self._clock()
        while self._ended:
            key, (until, _) = next(iter(self._ended.items()))
            if until > now and self._ended_bytes <= self._retention.ended_bytes:
                return
            self._forget(key)

    def _forget(self, key: tuple[str, str]) -> None:
        _, charge = self._ended.pop(key)
        self._ended_bytes -= charge
        log, _, claim = self._logs.pop(key)
        if claim is not None:
            self._claims.pop(claim, None)
        if log.meta.conversation is not None:
            name = (log.meta.tenant, log.meta.subject, log.meta.conversation)
            self._conversations[name].remove(log)
            if not self._conversations[name]:
                del self._conversations[name]
