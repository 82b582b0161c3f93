"""Who reads: comes to any process, goes on from where it was, leaves, and comes again until it has the end."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Literal, Protocol

from realtime.bus.redis import RedisBus
from realtime.cursor import Cursor
from realtime.errors import RealtimeError
from realtime.events import Finished
from realtime.hooks import Hooks
from realtime.log import EventLog
from realtime.observation import Observation
from tests.history.rows import Close, Open, Received, Reset

from .loops import Loop, World
from .record import Record, value_of

TENANT = "t"
Why = Literal["ended", "cut", "left", "bye"]


class Place(Protocol):
    """A process that can be read at."""

    loop: Loop
    bus: RedisBus | None


class Reader:
    """See the module.

    Args:
        calm: Nothing may come late.
        forgetful: What was there may be gone.
        away: Called when a connection is over, to come again.

    Attributes:
        at: Where it is connected.
        done: It has the end.
        unknown: It was told that there is no such generation, the last time it asked.
    """

    def __init__(
        self,
        name: str,
        generation: str,
        world: World,
        record: Record,
        *,
        calm: bool,
        forgetful: bool,
        away: Callable[["Reader"], None],
    ) -> None:
        self.name = name
        self.generation = generation
        self.at: Place | None = None
        self.done = self.unknown = False
        self._world = world
        self._record = record
        self._calm = calm
        self._forgetful = forgetful
        self._away = away
        self._rows = record.rows[name]
        self._conn = 0
        self._cursor: Cursor | None = None
        self._task: asyncio.Task[None] | None = None

    def connect(self, place: Place) -> None:
        """Read there."""
        assert self.at is None
        self.at = place
        self._conn += 1
        self._task = place.loop.create_task(self._read(place, self._conn))

    def leave(self, why: Why = "left") -> None:
        """Be gone; what is sent to it from now on is sent to nobody."""
        if self.at is None or self._task is None:
            return
        if self.at.loop.alive:
            self._task.cancel()
        self._over(why)

    def _over(self, why: Why) -> None:
        self.at = self._task = None
        self._rows.append(Close(self.name, self._conn, self.generation, why))
        self.done = why == "ended"
        if not self.done:
            self._away(self)

    async def _read(self, place: Place, conn: int) -> None:
        why: Why = "cut"
        known = self.generation in self._record.created and not self._forgetful
        try:
            log = None if place.bus is None else await place.bus.find(TENANT, self.generation, self._cursor)
            if conn == self._conn and place is self.at:
                self.unknown = log is None and place.bus is not None
                if self.unknown and known:
                    self._record.wrongs.append(f"{self.name} was told that there is none")
                why = "cut" if log is None else await self._observe(log, conn)
        except RealtimeError:
            # The bus is away; it comes again.
            pass
        if conn == self._conn and self.at is place:
            self._over(why)

    async def _observe(self, log: EventLog, conn: int) -> Why:
        cursor, since = self._cursor, self._world.now
        self._rows.append(
            Open(self.name, conn, self.generation, None if cursor is None else (cursor.epoch, cursor.seq))
        )
        observation = Observation(log, cursor, wire="simulated", hooks=Hooks())
        try:
            if observation.reset is not None:
                self._rows.append(Reset(self.name, conn, self.generation, observation.reset))
                self._cursor = observation.reset = None
            while True:
                await observation.changed()
                if self.at is None or conn != self._conn:
                    return "left"
                for entry in log.since(observation.seq):
                    value = value_of(entry.event)
                    epoch = log.branches.at(entry.seq)
                    self._take(conn, since, epoch, entry.seq, value, terminal=isinstance(entry.event, Finished))
                observation.move(log.head)
                if observation.done:
                    return "ended"
                if observation.nudge == "bye":
                    return "bye"
        finally:
            observation.close("disconnected")

    def _take(self, conn: int, since: float, epoch: str, seq: int, value: str, *, terminal: bool) -> None:
        self._cursor = Cursor(epoch, seq)
        self._rows.append(Received(self.name, conn, self.generation, epoch, seq, value, terminal))
        show = partial(self._record.show, self._world.now, since if self._calm else None)
        show(self.generation, epoch, seq, value)
