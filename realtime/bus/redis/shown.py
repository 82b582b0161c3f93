"""Logs that another process writes, as far as somebody reads them here."""

import asyncio
from contextlib import suppress
from typing import Any

from realtime.cursor import Cursor
from realtime.errors import RealtimeError
from realtime.log import EventLog, Meta

from .answers import refused
from .batches import Written, decode_meta, decode_written
from .connections import Connections
from .keys import log_keys
from .nodes import CALL_S
from .writer import RedisWriter, epoch_of

# Entries of one range read; a log of a million events is not one answer.
_RANGE = 1000


class Shown:
    """One log, kept up with what its writer tells and what Redis has.

    Attributes:
        log: What observers read.
        writer: Of this process, where it is the one that writes it, or was.
        joined: The lane is listened to for it.
        hears: Its events are listened to as well; not where this process has written it since its beginning.
        parted: Another writes it now, and what was shown was not compared since with what that one has: nothing of it
            is taken before, though it may fit by its number, for it may follow something else.
        filling: The read that is under way; whoever else wants one has it.
        missing_since: Loop time since when Redis has not had it; None while it has.
        gone: The log is not kept any more, or what was shown of it is not what it is.
    """

    __slots__ = (
        "_touched",
        "_wanted",
        "filling",
        "gone",
        "hears",
        "joined",
        "log",
        "missing_since",
        "parted",
        "writer",
    )

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self.writer: RedisWriter | None = None
        self.joined = self.hears = self.parted = self.gone = False
        self.filling: asyncio.Task[None] | None = None
        self.missing_since: float | None = None
        self._wanted = 0
        self._touched = asyncio.get_running_loop().time()

    @property
    def driven(self) -> bool:
        """This process writes it."""
        return self.writer is not None and not self.writer.over

    def missing_for(self, now: float) -> float:
        """Seconds for which Redis has not had it, this look included."""
        if self.missing_since is None:
            self.missing_since = now
        return now - self.missing_since

    def touch(self) -> None:
        """Somebody was told of it, and may read it in a moment."""
        self._touched = asyncio.get_running_loop().time()

    def idle_since(self, now: float) -> float:
        """When it was last of use."""
        if self.log.observers or self.driven:
            self._touched = now
        return self._touched

    @property
    def behind(self) -> bool:
        """Whether something is known to be missing."""
        return self.log.finished is None and self._wanted > self.log.head

    @property
    def deaf(self) -> bool:
        """Another writes it now, and what that one says is not listened to."""
        return self.joined and not self.hears and not self.driven and self.log.finished is None

    @property
    def adrift(self) -> bool:
        """What was written of it here last is in no log of record."""
        return self.writer is not None and self.writer.adrift

    def compare(self, branches: str) -> None:
        """See whether another has gone on from before what was shown, or one that had gone on was forgotten; and note
        from where on what another writes is to be taken."""
        log, kept = self.log, _branches(branches)
        new = [(since, epoch) for since, epoch in kept if epoch not in log.branches]
        behind = any(since < log.head for since, _ in new)
        self.gone = self.gone or behind or all(epoch != log.epoch for _, epoch in kept)
        self.parted = False
        if not self.gone:
            for since, epoch in new:
                log.branches.begin(epoch, since)

    def tell(self, top: int) -> None:
        """It reaches to that number."""
        self._wanted = max(self._wanted, top)

    def take(self, written: Written) -> None:
        """Some of its events; what is here already is passed by, and what cannot be joined to it is only noted."""
        log, batch = self.log, written.batch
        self.tell(written.last)
        if batch.first > log.head + 1 or log.finished is not None or self.driven or self.parted:
            # Who writes it knows better what Redis has: it was told by Redis.
            return
        epoch = epoch_of(written.fence)
        if epoch not in log.branches:
            self.parted = True
            return
        if epoch != log.branches.at(batch.first):
            # A writer who does not know yet that it was replaced; Redis has refused it.
            return
        for timed in batch.events[log.head + 1 - batch.first :]:
            log.append(timed.event, timed.at, more=True)
        log.show()


async def load(connections: Connections, tenant: str, generation: str) -> Shown | None:
    """A log as it is in Redis; None when there is none.

    Raises:
        RealtimeError: `bus_unavailable`.
    """
    keys = log_keys(tenant, generation)
    (about,) = await connections.all([("HMGET", keys.meta, "about", "branches", "top", "stop")])
    if (fault := refused(about)) is not None:
        raise fault
    if about[0] is None:
        return None
    log = new_log(decode_meta(about[0]), about[1].decode())
    shown = Shown(log)
    shown.tell(int(about[2]))
    await fill(connections, shown)
    log.stopping = bool(about[3]) and log.finished is None
    return shown


async def load_end(connections: Connections, tenant: str, generation: str) -> EventLog | None:
    """A log of which only the last batch is here, for whoever wants to know how it stands; raises as `load`."""
    keys = log_keys(tenant, generation)
    about, entries = await connections.all(
        [("HMGET", keys.meta, "about", "branches", "top", "stop"), ("XREVRANGE", keys.log, "+", "-", "COUNT", 1)]
    )
    for answer in (about, entries):
        if (fault := refused(answer)) is not None:
            raise fault
    if about[0] is None or not entries:
        return None
    log = new_log(decode_meta(about[0]), about[1].decode())
    shown = Shown(log)
    _join(shown, decode_written(_data(entries[0][1])))
    if shown.parted:
        # It was taken over between the two answers.
        return await load_end(connections, tenant, generation)
    log.stopping = bool(about[3]) and log.finished is None
    return log


async def is_kept(connections: Connections, tenant: str, generation: str) -> bool:
    """Whether Redis still has a log; raises as `load`."""
    # Of one that was erased there is a meta for a while, which says only that.
    (answer,) = await connections.all([("HGET", log_keys(tenant, generation).meta, "fence")])
    if (fault := refused(answer)) is not None:
        raise fault
    return answer is not None


def new_log(meta: Meta, branches: str) -> EventLog:
    """An empty log with these branches."""
    (_, first), *later = _branches(branches)
    log = EventLog(meta, first, limit_bytes=None)
    for since, epoch in later:
        log.branches.begin(epoch, since)
    return log


def _branches(written: str) -> list[tuple[int, str]]:
    """The number after which each epoch begins, as `create.lua` and `take_over.lua` write them."""
    parts = (part.partition(":") for part in written.split(","))
    return [(int(since), epoch_of(int(fence))) for since, _, fence in parts]


async def fill(connections: Connections, shown: Shown) -> None:
    """Read what it does not have yet, as far as it is known to follow; raises as `load`."""
    log = shown.log
    keys = log_keys(log.meta.tenant, log.meta.generation)
    while not (shown.gone or shown.parted):
        (entries,) = await connections.all([("XRANGE", keys.log, f"({log.head}-0", "+", "COUNT", _RANGE)])
        if (fault := refused(entries)) is not None:
            raise fault
        for _, fields in entries:
            _join(shown, decode_written(_data(fields)))
        if len(entries) < _RANGE:
            return


async def agree(connections: Connections, shown: Shown) -> int:
    """See whether what was shown is the beginning of what Redis has.

    Returns:
        How far it is there; 0 where it is not.

    Raises:
        RealtimeError: `bus_unavailable`.
    """
    meta = shown.log.meta
    (kept,) = await connections.all([("HMGET", log_keys(meta.tenant, meta.generation).meta, "top", "branches")])
    if (fault := refused(kept)) is not None:
        raise fault
    if kept[0] is None:
        return 0
    if not shown.driven:
        shown.compare(kept[1].decode())
    return int(kept[0])


async def reach(connections: Connections, shown: Shown, cursor: Cursor) -> None:
    """Have what somebody was shown elsewhere, unless it was lost; raises as `load`."""
    log = shown.log
    if await agree(connections, shown) < cursor.seq:
        return
    if not shown.driven:
        await fill(connections, shown)
        return
    # Redis has told it, and the answer to whoever writes it here is on its way.
    with suppress(TimeoutError):
        async with asyncio.timeout(CALL_S):
            while log.head < cursor.seq and shown.driven:
                await log.wait(log.head)
    if log.head < cursor.seq:
        raise RealtimeError("bus_unavailable")


def _join(shown: Shown, written: Written) -> None:
    log, first = shown.log, written.batch.first
    if first > log.head + 1 and log.head == log.trimmed:
        # A windowed log begins where its window does.
        log.begin_at(first)
    shown.take(written)


def _data(fields: Any) -> bytes:
    """The one field of an entry; a map in RESP3 from some versions on, else a list."""
    value: bytes = fields[b"b"] if isinstance(fields, dict) else fields[1]
    return value
