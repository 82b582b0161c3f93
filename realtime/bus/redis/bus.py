"""The bus of many processes: logs in Redis, of which each process holds what it drives and what is read in it.

Lanes are joined before history is read, so between the two nothing can be missed; a log that is read by a thousand
observers at once is read from Redis once.
"""

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from prometheus_client import CollectorRegistry

from realtime.bus.base import Claim, Orphaned, Page, Writer
from realtime.bus.retention import Retention
from realtime.cursor import Cursor
from realtime.errors import RealtimeError
from realtime.events import StoppedBy
from realtime.log import EventLog, Meta, started
from realtime.tasks import TaskRegistry

from .answers import refused
from .batches import encode_batch, encode_meta
from .connections import Connections
from .flusher import LIFE_S
from .flushers import Flushers
from .index import Claimed, Index
from .keys import lane_of, log_keys
from .lanes import Lanes
from .lease import LEASE_S
from .messages import Created, read_message, stopped_by
from .metrics import BusMetrics
from .orphans import Orphans
from .scripts import CREATE, ERASE, STOP, Script
from .shelf import Shelf
from .shown import Shown, load_end
from .sweep import Sweep
from .talks import Talks
from .watch import Watch
from .writer import RedisWriter, epoch_of

_logger = logging.getLogger("realtime")

# For a start that has claimed its key and has not made its log yet; its process may have died between the two.
_MADE_S, _LOOK_S = 1.0, 0.05
# A conversation that is waited for is looked at again, should nobody have told of its next generation.
_LOOK_AGAIN_S = 5.0
_TRIES = 3


class RedisBus:
    """See `Bus`.

    Args:
        url: See `Connections`.
        registry: Where its metrics are registered; nowhere when None.
    """

    def __init__(
        self, url: str, retention: Retention | None = None, *, registry: CollectorRegistry | None = None
    ) -> None:
        self.worker = secrets.token_hex(8)
        self._metrics = BusMetrics(registry)
        self._url = url
        self._retention = retention or Retention()
        self._tasks = TaskRegistry()

    @property
    def healthy(self) -> bool:
        """Whether Redis takes what is written, and what it tells is heard; of a cluster, whether any node does."""
        return self._flushers.reachable and self._lanes.hearing

    def _report(self) -> None:
        self._metrics.healthy.set(self.healthy)
        self._metrics.buffered_bytes.set(self._flushers.buffered_bytes)

    async def open(self, orphaned: Orphaned) -> None:
        connections = self._connections = Connections(self._url, self._metrics)
        self._index = Index(connections, self._retention)
        self._lanes = Lanes(connections, self.worker, self._hear, self._missed)
        self._shelf = Shelf(connections, self._lanes, self.worker, self._tasks)
        self._flushers = Flushers(connections, self._retention, self._report, self._shelf.part)
        self._talks = Talks(connections, self._lanes, self._tasks)
        self._watch = Watch(connections, self.worker, self._shelf, lambda: self._lanes.listening)
        orphans = Orphans(connections, self._shelf, self._flushers, orphaned)
        self._sweep = Sweep(connections, orphans.take_over)
        await self._lanes.ready()

    async def close(self) -> None:
        await self._sweep.close()
        await self._watch.close()
        await self._tasks.drain(1.0)
        await self._flushers.close()
        await self._lanes.close()
        await self._connections.close()

    # Starts.

    async def claimed(self, tenant: str, subject: str | None, claim: Claim) -> EventLog | None:
        claimed = await self._index.claimed(tenant, subject, claim)
        log = None if claimed is None else await self.find(tenant, claimed.generation)
        if claimed is not None and log is not None:
            _refuse_mismatch(claimed)
        return log

    async def create(self, meta: Meta, claim: Claim) -> Writer | EventLog:
        over = ""
        for _ in range(_TRIES):
            claimed = await self._index.claim(meta, claim, over)
            if claimed.word == "NEW":
                return await self._make(meta, self._index.claim_key(meta, claim))
            over = claimed.generation
            log = await (self._made if claimed.new else self.find)(meta.tenant, over)
            if claimed.word == "BUSY":
                if log is not None and log.finished is None:
                    raise RealtimeError("conversation_busy", field="conversation", generation=over)
            elif log is not None:
                _refuse_mismatch(claimed)
                return log
            # It is over, or was never made: what it claimed is another's to have.
        raise RealtimeError("bus_unavailable", "Others start under the same key, or in the same conversation.")

    async def _made(self, tenant: str, generation: str) -> EventLog | None:
        """A log that another start has claimed, once it is there."""
        deadline = asyncio.get_running_loop().time() + _MADE_S
        while (log := await self.find(tenant, generation)) is None:
            if asyncio.get_running_loop().time() > deadline:
                return None
            await asyncio.sleep(_LOOK_S)
        return log

    async def _make(self, meta: Meta, claim_key: str) -> RedisWriter:
        keys, first, token = log_keys(meta.tenant, meta.generation), started(meta), secrets.token_hex(8)
        lane, born = lane_of(meta.generation), time.monotonic()
        await self._lanes.join(lane)
        try:
            fence = await self._asked(
                CREATE,
                (keys.meta, keys.log, keys.leases),
                (
                    token,
                    encode_meta(meta),
                    random.randrange(1000),  # noqa: S311 - so that two of one millisecond differ
                    encode_batch(1, [(0, first)]),
                    keys.member,
                    int(LEASE_S * 1000),
                    int(LIFE_S * 1000),
                    claim_key,
                ),
            )
        except BaseException:
            await self._lanes.leave(lane)
            raise
        shown = self._shelf.get(meta.tenant, meta.generation)
        if shown is not None and shown.log.head == 1 and not shown.gone:
            # Somebody here has asked for it while it was being made, and it is listened for already.
            self._tasks.spawn(self._lanes.leave(lane), f"leave {meta.generation}")
        else:
            log = EventLog(meta, epoch_of(int(fence)), limit_bytes=None)
            log.append(first, 0)
            shown = Shown(log)
        flusher = self._flushers.of(meta.generation)
        writer = RedisWriter(shown.log, int(fence), flusher, self._retention, born=born, token=token)
        self._shelf.hold(shown, writer)
        flusher.add(writer)
        if meta.conversation is not None:
            self._talks.tell(meta.tenant, meta.conversation)
        return writer

    # Logs.

    async def find(self, tenant: str, generation: str, cursor: Cursor | None = None) -> EventLog | None:
        return await self._shelf.find(tenant, generation, cursor)

    async def stop(self, tenant: str, generation: str, by: StoppedBy) -> EventLog | None:
        keys = log_keys(tenant, generation)
        asker = self.worker if by == "disconnect" else ""
        answer = await self._asked(
            STOP,
            (keys.meta, keys.seen) if asker else (keys.meta,),
            (by, generation, self._connections.publish, keys.asked, asker),
        )
        if answer is None:
            return None
        log = await self.find(tenant, generation)
        shown = self._shelf.get(tenant, generation)
        if answer[0] == b"OK" and shown is not None:
            # Whoever asked sees it now, whenever it is told.
            self._shelf.note_stop(shown, stopped_by(answer[1].decode()))
        return log

    async def conversation(self, tenant: str, subject: str | None, name: str) -> Sequence[EventLog]:
        generations = await self._index.conversation(tenant, name)
        logs = await asyncio.gather(*(self._end(tenant, one) for one in generations))
        gone = [one for one, log in zip(generations, logs, strict=True) if log is None]
        await self._index.forget_old(tenant, subject, gone, name)
        return [log for log in logs if log is not None and (subject is None or log.meta.subject == subject)]

    async def page(self, tenant: str, subject: str | None, before: str | None, limit: int) -> Page:
        logs: list[EventLog] = []
        while len(logs) <= limit:
            found = await self._index.newest(tenant, subject, before, limit + 1 - len(logs))
            if found is None:
                raise RealtimeError("bad_request", "before names a generation that is no longer kept.", field="before")
            if not found:
                return Page(logs, None)
            ends = await asyncio.gather(*(self._end(tenant, one) for one in found))
            logs += [log for log in ends if log is not None]
            # Those that are no longer kept are forgotten, and the next look begins after the last that is still listed.
            gone = [one for one, log in zip(found, ends, strict=True) if log is None]
            forgotten = await self._index.forget_old(tenant, subject, gone)
            before = next((one for one in reversed(found) if one not in forgotten), before)
        return Page(logs[:limit], logs[limit - 1].meta.generation)

    async def _end(self, tenant: str, generation: str) -> EventLog | None:
        shown = self._shelf.get(tenant, generation)
        if shown is not None and not shown.gone and shown.log.finished is None:
            return shown.log
        return await load_end(self._connections, tenant, generation)

    async def wait_created(self, tenant: str, subject: str | None, name: str, known: str | None) -> None:
        async with self._talks.listening(tenant, name) as told:
            while True:
                told.clear()
                if await self._newest(tenant, subject, name) not in (None, known):
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_AGAIN_S):
                        await told.wait()

    async def _newest(self, tenant: str, subject: str | None, name: str) -> str | None:
        """The newest kept generation of a conversation that a subject may see."""
        for generation in reversed(await self._index.conversation(tenant, name)):
            log = await self._end(tenant, generation)
            if log is not None and subject in (None, log.meta.subject):
                return generation
        return None

    async def erase(self, tenant: str, generation: str) -> bool:
        log = await self._end(tenant, generation)
        keys = log_keys(tenant, generation)
        answer = await self._asked(ERASE, (keys.meta, keys.log, keys.seen), (int(LIFE_S * 1000),))
        if answer is None or log is None:
            return False
        shown = self._shelf.get(tenant, generation)
        if shown is not None:
            self._shelf.let_go(shown)
        await self._index.forget(
            [(tenant, log.meta.subject, generation, log.meta.conversation)], claim_key=answer.decode()
        )
        return True

    async def _asked(self, script: Script, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """The answer of one script; raises where Redis refuses it."""
        answer = await self._connections.run(script, keys, args)
        if (fault := refused(answer)) is not None:
            raise fault
        return answer

    # What is told.

    def _hear(self, data: bytes) -> None:
        try:
            message = read_message(data)
            if isinstance(message, Created):
                self._talks.hear(message.conversation)
            else:
                self._shelf.hear(message)
        except (RealtimeError, ValueError):
            _logger.warning("redis: a message of %d bytes cannot be read", len(data))

    async def _missed(self) -> None:
        self._flushers.look_again()
        await self._shelf.look_again()


def _refuse_mismatch(claimed: Claimed) -> None:
    """Raise `idempotency_mismatch` where a key that is taken was another request's."""
    if claimed.word == "MISMATCH":
        raise RealtimeError("idempotency_mismatch", field="Idempotency-Key")
