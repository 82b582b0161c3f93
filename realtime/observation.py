"""One observer's place in one log, the same on every wire: where it starts, what it takes next, when it is woken.

A transport asks `take` for bytes and sends them; between two takes it awaits `changed`. That the log moved, that a
heartbeat is due and that the server wants to say goodbye all end the same wait, so an observer costs one future while
it is idle and no timer of its own. One whose peer keeps up is not even woken: what `changed` was given sends each slice
as the log tells of it, and waking a task for every token of every observer would cost as much as the sending.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Literal

from .cursor import Cursor
from .frames import Codec, Envelope
from .hooks import Hooks, Leaving, ObservationEnded, ObservationStarted, Wire
from .log import EventLog

_logger = logging.getLogger("realtime")

Nudge = Literal["heartbeat", "bye"]
Reset = Literal["branch", "trimmed"]


class Observation:
    """Attached to its log from construction until `close`.

    Args:
        cursor: The place to go on from; None for the beginning. One that does not fit the log sets `reset`.
        wire: Name of the wire, for the hooks.

    Attributes:
        seq: Number of the last event that was taken.
        reset: Why the observer must forget what it has, until the transport has said so and cleared it.
        nudge: What it was woken for besides events, until the transport has acted and cleared it.
    """

    __slots__ = ("_deliver", "_hooks", "_open", "_waited_for", "_waiter", "log", "nudge", "reset", "seq", "wire")

    def __init__(self, log: EventLog, cursor: Cursor | None, *, wire: Wire, hooks: Hooks) -> None:
        self.log = log
        self.wire = wire
        self.nudge: Nudge | None = None
        self.reset: Reset | None = None
        self.seq = log.trimmed
        if cursor is not None:
            self.reset = log.holds(cursor)
            self.seq = log.trimmed if self.reset else cursor.seq
        elif log.trimmed:
            self.reset = "trimmed"
        self._hooks = hooks
        self._waiter: asyncio.Future[None] | None = None
        self._deliver: Callable[[], bool] | None = None
        self._open = True
        self._waited_for = log.meta.retain == "window"
        log.attach(self, self.seq)
        hooks(ObservationStarted(log.meta, wire, resumed=cursor is not None))

    @property
    def cursor(self) -> str:
        """The place it holds; the place before the first event while it holds none."""
        held = 0 if self.reset else self.seq
        return self.log.cursor_at(held)

    @property
    def done(self) -> bool:
        """Whether it has the terminal event."""
        return self.log.finished is not None and self.seq >= self.log.head

    def take(self, codec: Codec, limit: int | None = None, envelope: Envelope | None = None) -> bytes:
        """Everything past its place, or the next `limit` events, as one slice; its place moves past them."""
        upto = self.log.head if limit is None else min(self.seq + limit, self.log.head)
        data = self.log.slice(codec, self.seq, upto, envelope)
        self.move(upto)
        return data

    def move(self, seq: int) -> None:
        """Hold everything up to `seq`."""
        self.seq = seq
        if self._waited_for:
            self.log.moved(self, seq)

    def at_own_pace(self) -> None:
        """Let a windowed log go on without it: who wants fewer events a second must not slow the others."""
        self.log.moved(self, None)

    async def changed(self, deliver: Callable[[], bool] | None = None) -> None:
        """Return when there is something past its place, or the log is finished, or it was nudged.

        Args:
            deliver: Called, while this waits, whenever the log has moved; what it returns is whether it has sent, or
                will send, what there is, so that nobody need wake.
        """
        if self.seq < self.log.head or self.log.finished is not None or self.nudge is not None:
            return
        self._waiter = asyncio.get_running_loop().create_future()
        self._deliver = deliver
        self.log.watch(self)
        try:
            await self._waiter
        finally:
            self.log.unwatch(self)
            self._waiter = self._deliver = None

    def moved(self) -> None:
        """See `Watcher`."""
        try:
            if self._deliver is not None and self._deliver():
                return
        except Exception:
            # Other observers are waiting for their turn. This one's task will do the same and fail in its own name.
            _logger.debug("delivering to an observer failed", exc_info=True)
        self._end_wait()

    def wake(self, nudge: Nudge) -> None:
        """Make `changed` return. A goodbye outranks a heartbeat."""
        if self.nudge != "bye":
            self.nudge = nudge
        self._end_wait()

    def _end_wait(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def close(self, why: Leaving) -> None:
        """Detach from the log; harmless when repeated."""
        if self._open:
            self._open = False
            self.log.detach(self)
            self._hooks(ObservationEnded(self.log.meta, self.wire, self.log.state, why))
