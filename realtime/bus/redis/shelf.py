"""The logs that this process holds: those it drives, and those that somebody reads here."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from realtime.cursor import Cursor
from realtime.errors import RealtimeError
from realtime.events import StoppedBy
from realtime.log import EventLog
from realtime.tasks import TaskRegistry

from .connections import Connections
from .keys import lane_of
from .lanes import Lanes
from .messages import Seen, Stop, Told, seen
from .shown import Shown, agree, fill, is_kept, load, reach
from .watch import presence
from .writer import RedisWriter

_logger = logging.getLogger("realtime")

_Name = tuple[str, str]


class Shelf:
    """See the module. Whatever is held and has not ended is listened for."""

    def __init__(self, connections: Connections, lanes: Lanes, worker: str, tasks: TaskRegistry) -> None:
        self._connections = connections
        self._lanes = lanes
        self._worker = worker
        self._tasks = tasks
        self._held: dict[_Name, Shown] = {}
        # By generation alone, which is what messages name.
        self._told: dict[str, Shown] = {}
        self._finding: dict[_Name, asyncio.Task[EventLog | None]] = {}

    def __iter__(self) -> Iterator[Shown]:
        return iter(list(self._held.values()))

    def get(self, tenant: str, generation: str) -> Shown | None:
        """The log, if it is held."""
        return self._held.get((tenant, generation))

    async def find(self, tenant: str, generation: str, cursor: Cursor | None = None) -> EventLog | None:
        """The log, held from now on, with what whoever has `cursor` was shown; raises `bus_unavailable`."""
        name = (tenant, generation)
        asked_before = name in self._finding
        log = await self._read_once(name)
        if log is None and asked_before:
            # That says nothing of what was made since.
            log = await self._read_once(name)
        shown = self._held.get(name)
        if cursor is not None and shown is not None and shown.log is log and log.holds(cursor) == "branch":
            await reach(self._connections, shown, cursor)
            self.settle(shown)
            return await self._read_once(name)
        return log

    async def _read_once(self, name: _Name) -> EventLog | None:
        """The log as it is held; or read, once for all who ask at the same time."""
        shown = self._held.get(name)
        if shown is not None and not shown.gone and shown.log.finished is None:
            shown.touch()
            return shown.log
        finding = self._finding.get(name)
        if finding is None or finding.done():
            # One that has come back says nothing of what was made since.
            finding = self._finding[name] = asyncio.ensure_future(self._find(*name))
            finding.add_done_callback(partial(self._found, name))
        # Whoever gives up does not take it from the others who want the same.
        return await asyncio.shield(finding)

    def _found(self, name: _Name, finding: "asyncio.Task[EventLog | None]") -> None:
        if self._finding.get(name) is finding:
            del self._finding[name]
        if not finding.cancelled():
            # All who wanted it may have left.
            finding.exception()

    async def _find(self, tenant: str, generation: str) -> EventLog | None:
        held = self._held.get((tenant, generation))
        if held is None or held.gone:
            return await self._load(tenant, generation)
        # It has ended, so nothing is heard of it any more, and another process may have erased it. Where Redis cannot
        # be asked, whoever comes for the rest of it is not turned away.
        with suppress(RealtimeError):
            if not await is_kept(self._connections, tenant, generation):
                self.let_go(held)
                return None
        held.touch()
        return held.log

    async def _load(self, tenant: str, generation: str) -> EventLog | None:
        await self._lanes.join(lane_of(generation), events=True)
        holds = False
        try:
            shown = await load(self._connections, tenant, generation)
            held = self._held.get((tenant, generation))
            if held is not None and not held.gone:
                # It was made here, or taken over, while it was being read.
                return held.log
            if shown is not None and shown.log.finished is None:
                self.hold(shown)
                # From now on it leaves the lane itself, and may have done so when this is over.
                holds = True
                # What was told while it was being read was told to nobody.
                await fill(self._connections, shown)
                self.settle(shown)
        finally:
            if not holds:
                await self._lanes.leave(lane_of(generation), events=True)
        if shown is None:
            return None
        if not holds:
            self._keep(shown)
        return shown.log

    def hold(self, shown: Shown, writer: RedisWriter | None = None) -> None:
        """Hold a log that goes on, whose lane was joined for it; or drive one that is held."""
        meta = shown.log.meta
        held = self._held.get((meta.tenant, meta.generation))
        if held is not None and held is not shown:
            # Nobody keeps that one up any more.
            held.gone = True
            self.let_go(held)
        shown.joined = True
        shown.writer = writer
        if writer is None:
            shown.hears = True
            shown.log.on_presence = partial(self._say_presence, shown)
        self._keep(shown)

    def _keep(self, shown: Shown) -> None:
        meta = shown.log.meta
        self._held[meta.tenant, meta.generation] = self._told[meta.generation] = shown

    def let_go(self, shown: Shown) -> None:
        """Hold it no longer; whoever reads it, or was told of it and comes only now, is asked to come again."""
        meta = shown.log.meta
        if self._held.get((meta.tenant, meta.generation)) is shown:
            del self._held[meta.tenant, meta.generation], self._told[meta.generation]
        self.rest(shown)
        if shown.log.finished is None or shown.gone:
            shown.log.on_presence = lambda *_: shown.log.send_away()
            shown.log.send_away()
        else:
            shown.log.on_presence = None

    def rest(self, shown: Shown) -> None:
        """Listen for it no longer."""
        if shown.joined:
            generation = shown.log.meta.generation
            self._tasks.spawn(self._lanes.leave(lane_of(generation), events=shown.hears), f"leave {generation}")
            shown.joined = shown.hears = False

    # What is told of them.

    def hear(self, message: Told | Stop | Seen) -> None:
        """Take what a message says of a log, if that is held; raises as `read_message`."""
        shown = self._told.get(message.generation)
        if shown is None:
            return
        match message:
            case Stop(_, by):
                self.note_stop(shown, by)
            case Seen(_, worker, reader):
                if worker != self._worker and shown.writer is not None:
                    shown.writer.note_elsewhere(observed=reader == "observer")
            case Told() if not shown.driven:
                written, top = message.read()
                if written is not None:
                    shown.take(written)
                shown.tell(top)
                self.settle(shown)

    def note_stop(self, shown: Shown, by: StoppedBy) -> None:
        """A stop is wanted."""
        if shown.driven and shown.writer is not None:
            shown.writer.request_stop(by)
        elif shown.log.finished is None:
            shown.log.stopping = True

    def part(self, writer: RedisWriter) -> None:
        """Another has its log now: whoever reads that here is told by the other from now on."""
        shown = self._told.get(writer.log.meta.generation)
        if shown is not None and shown.writer is writer and shown.log.finished is None:
            shown.parted = True
            self.settle(shown)

    def settle(self, shown: Shown) -> None:
        """Do what its state asks for."""
        if shown.gone:
            self.let_go(shown)
        elif (shown.behind or shown.parted or shown.deaf) and (shown.filling is None or shown.filling.done()):
            # Once, for however many messages say so.
            shown.filling = self._tasks.spawn(self._catch_up(shown), f"fill {shown.log.meta.generation}")
        elif shown.log.finished is not None:
            self.rest(shown)

    async def _catch_up(self, shown: Shown) -> None:
        try:
            if shown.deaf:
                await self._listen(shown)
            await fill(self._connections, shown)
            if shown.parted:
                await agree(self._connections, shown)
                await fill(self._connections, shown)
        except RealtimeError as error:
            _logger.warning("redis: %s is behind, %s", shown.log.meta.generation, error.code)
            return
        if shown.gone or not shown.behind:
            self.settle(shown)

    async def _listen(self, shown: Shown) -> None:
        """Hear of a log that was written here. What is said from then on is told, and what was said before is read."""
        lane = lane_of(shown.log.meta.generation)
        await self._lanes.join(lane, events=True)
        # It may have been let go of meanwhile.
        shown.hears = shown.joined
        # Either as it was joined before, or, where it is not to be heard, as it was just now.
        await self._lanes.leave(lane, events=not shown.hears)

    async def look_again(self) -> None:
        """Messages may have been missed: compare all that goes on."""
        for shown in self:
            if not shown.driven and shown.log.finished is None:
                shown.tell(shown.log.head + 1)
                self.settle(shown)

    def _say_presence(self, shown: Shown, present: int, observed: bool) -> None:  # noqa: FBT001 - a callback
        if shown.driven or shown.log.finished is not None:
            return
        generation = shown.log.meta.generation
        message = seen(generation, self._worker, "observer" if observed else "waiter")
        call = presence(shown.log, self._worker, here=present > 0, message=message, publish=self._connections.publish)
        self._tasks.spawn(self._connections.tell([call]), f"presence {generation}")
