"""Who writes: a session reduced to what the bus sees of one, and whoever ends what another has left."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from realtime.bus.base import Claim, Writer
from realtime.bus.redis import RedisBus
from realtime.errors import RealtimeError
from realtime.events import Attempt, Finished, StoppedBy, Text
from realtime.log import EventLog, Meta
from realtime.orphans import orphan_end

from .readers import TENANT
from .record import Record, Seal


@dataclass(frozen=True, slots=True)
class Work:
    """What a generation is to be.

    Attributes:
        begins: When, in seconds.
        every_s: Between two appends.
        tokens: How many; a great many for one that only a stop ends.
        burst: How many are appended at once.
    """

    generation: str
    begins: float
    every_s: float
    tokens: int
    burst: int

    @property
    def endless(self) -> bool:
        """Only a stop ends it."""
        return self.tokens >= 1_000_000


async def drive(bus: RedisBus, worker: str, work: Work, record: Record) -> None:
    """Start it and write it to its end."""
    meta = Meta(work.generation, TENANT, None, "simulated", "simulated/model", int(time.time() * 1000))
    try:
        writer = await bus.create(meta, Claim())
    except RealtimeError:
        # Whether it is there is not known; where it is, nobody drives it.
        return
    assert not isinstance(writer, EventLog)
    record.created.add(work.generation)
    interrupted: asyncio.Future[StoppedBy | None] = asyncio.get_running_loop().create_future()

    def interrupt(by: StoppedBy | None = None) -> None:
        if not interrupted.done():
            interrupted.set_result(by)

    writer.on_stop(interrupt)
    writer.on_lost(interrupt)
    await _say(writer, work, interrupted)
    by = interrupted.result() if interrupted.done() else None
    await end(
        writer, Finished("completed", "stop") if by is None else Finished("stopped", stopped_by=by), worker, record
    )


async def _say(writer: Writer, work: Work, interrupted: "asyncio.Future[StoppedBy | None]") -> None:
    writer.append(Attempt(1, "simulated", "model"))
    said = 0
    while said < work.tokens:
        await asyncio.wait({interrupted}, timeout=work.every_s)
        if interrupted.done():
            return
        for _ in range(work.burst):
            said += 1
            writer.append(Text(f"{work.generation[:4]}.{said} "), more=True)
        writer.show()


async def end(writer: Writer, finished: Finished, worker: str, record: Record) -> None:
    """Seal it, and note what came of that."""
    result = await writer.seal(finished)
    meta = writer.log.meta
    record.seals.append(Seal(meta.generation, worker, result, finished.outcome, writer.log.head))


async def end_orphan(writer: Writer, worker: str, record: Record) -> None:
    """As the session manager does."""
    await end(writer, orphan_end(writer.log, writer.stop_requested), worker, record)


async def stop(bus: RedisBus, generation: str, now: Callable[[], float], record: Record) -> None:
    """Ask for its end, and note that this was answered."""
    try:
        log = await bus.stop(TENANT, generation, "owner")
    except RealtimeError:
        return
    if log is not None:
        record.stopped.setdefault(generation, now())
