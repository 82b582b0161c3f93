"""Taking over a log whose writer is gone, to end it: nothing is asked again, for that would be another answer, paid
for twice."""

import random
import time

from realtime.bus.base import Orphaned
from realtime.events import StoppedBy
from realtime.log import started
from realtime.tasks import TaskRegistry

from .answers import refused
from .connections import Connections
from .flusher import LIFE_S
from .flushers import Flushers
from .keys import log_keys, of_member
from .lease import LEASE_S
from .messages import stopped_by
from .scripts import TAKE_OVER
from .shelf import Shelf
from .shown import Shown, fill
from .writer import RedisWriter, epoch_of


class Orphans:
    """See the module."""

    def __init__(self, connections: Connections, shelf: Shelf, flushers: Flushers, orphaned: Orphaned) -> None:
        self._connections = connections
        self._shelf = shelf
        self._flushers = flushers
        self._orphaned = orphaned
        self._tasks = TaskRegistry()

    async def take_over(self, member: str) -> None:
        """Become its writer, if it still has none, and have it ended.

        Raises:
            RealtimeError: `bus_unavailable`.
        """
        tenant, generation = of_member(member)
        held = self._shelf.get(tenant, generation)
        if held is not None and held.driven:
            # Its writer is here and lives, and renews it as soon as Redis is there again.
            return
        keys = log_keys(tenant, generation)
        answer = await self._connections.run(
            TAKE_OVER,
            (keys.meta, keys.leases),
            (member, random.randrange(1000), int(LEASE_S * 1000), int(LIFE_S * 1000)),  # noqa: S311 - as at the creation
        )
        if (fault := refused(answer)) is not None:
            raise fault
        if answer is None:
            return
        self._connections.metrics.taken_over.inc()
        fence, stop = int(answer[0]), answer[4].decode()
        shown = await self._held(tenant, generation, answer[2].decode(), int(answer[3]))
        if shown is None or shown.gone or shown.log.finished is not None:
            return
        if epoch_of(fence) not in shown.log.branches:
            shown.log.branches.begin(epoch_of(fence), shown.log.head)
        writer = self._writer(shown, fence, stopped_by(stop) if stop else None)
        if shown.log.head == 0:
            # All of it was lost but what it is of, and whoever was to write it again has died too.
            writer.append(started(shown.log.meta))
        self._shelf.hold(shown, writer)
        self._flushers.of(generation).add(writer)
        self._tasks.spawn(self._end(writer), f"end {generation}")

    async def _end(self, writer: RedisWriter) -> None:
        await self._orphaned(writer)

    async def _held(self, tenant: str, generation: str, branches: str, top: int) -> Shown | None:
        """The log up to its last event."""
        held = self._shelf.get(tenant, generation)
        if held is not None:
            # More of it was shown than was kept, or another's.
            held.compare(branches)
            held.gone = held.gone or held.log.head > top
        if held is not None and held.gone:
            self._shelf.let_go(held)
        # As whoever wants to read it finds it, at this very moment perhaps: of two copies here one would be told of
        # nothing any more.
        await self._shelf.find(tenant, generation)
        held = self._shelf.get(tenant, generation)
        if held is not None and held.log.finished is None:
            held.tell(top)
            await fill(self._connections, held)
            if held.log.head != top:
                # Whoever wrote on from there would say what is not what it follows.
                held.gone = True
                self._shelf.let_go(held)
        return held

    def _writer(self, shown: Shown, fence: int, stop: StoppedBy | None) -> RedisWriter:
        meta = shown.log.meta
        born = time.monotonic() - (time.time() - meta.created_ms / 1000)
        token = str(fence)
        flusher, retention = self._flushers.of(meta.generation), self._flushers.retention
        return RedisWriter(shown.log, fence, flusher, retention, born=born, token=token, stop=stop)
