"""A conversation on one response: the active generation, and with `follow` the ones after it.

A page that knows only its conversation can open this once and never learn an id. Between two generations the stream is
idle but alive: heartbeats go on, and a drain can say goodbye.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from realtime.cursor import Cursor
from realtime.hooks import Leaving
from realtime.log import EventLog
from realtime.observation import Nudge

from .codec import Bye, Codec, Heartbeat
from .http import HttpStream

ServeLog = Callable[[HttpStream, EventLog, Cursor | None], Awaitable[Leaving]]
WaitCreated = Callable[[str | None], Awaitable[None]]
ListLogs = Callable[[], Awaitable[Sequence[EventLog]]]


def starting_log(logs: Sequence[EventLog], cursor: Cursor | None) -> tuple[EventLog | None, Cursor | None]:
    """Where a conversation's observer begins.

    Args:
        logs: The conversation's, oldest first.

    Returns:
        The log its cursor belongs to, while that has something more to say, else the one after it, which may be over
        already; for a foreign cursor the active one, with the cursor kept so that it is answered by a reset; else
        the active one, or nothing.
    """
    active = next((log for log in reversed(logs) if log.finished is None), None)
    if cursor is None:
        return active, None
    own = next((at for at, log in enumerate(logs) if cursor.epoch in log.branches), None)
    if own is None:
        return active, cursor
    if logs[own].finished is None or cursor.seq != logs[own].head:
        return logs[own], cursor
    return next(iter(logs[own + 1 :]), active), None


class Beginning(NamedTuple):
    """Where an observer of a conversation begins, settled once: what starts after this is what comes next.

    Attributes:
        log: The first one to serve, if there is one already, from `cursor`.
        latest: The newest generation when this was settled.
    """

    log: EventLog | None
    cursor: Cursor | None
    latest: str | None


def beginning(logs: Sequence[EventLog], cursor: Cursor | None) -> Beginning:
    """Where to begin in these logs, oldest first; see `starting_log`."""
    return Beginning(*starting_log(logs, cursor), logs[-1].meta.generation if logs else None)


def beginning_after(earlier: Beginning, logs: Sequence[EventLog], cursor: Cursor | None) -> Beginning:
    """Where to begin once a wait for the next generation is over, which may be over as well by now."""
    later = beginning(logs, cursor)
    return later if later.log is not None else later._replace(log=_next(logs, earlier.latest))


class Idle:
    """The wait for a conversation's next generation, woken like an observation is."""

    def __init__(self, wait: Awaitable[None]) -> None:
        self.nudge: Nudge | None = None
        self._woken = asyncio.Event()
        self._task: asyncio.Future[None] = asyncio.ensure_future(wait)
        self._task.add_done_callback(lambda _: self._woken.set())

    @property
    def over(self) -> bool:
        """Whether there is a next generation."""
        return self._task.done()

    def result(self) -> None:
        """Raise what ended the wait, if it was a failure."""
        self._task.result()

    def wake(self, nudge: Nudge, /) -> None:
        """See `Wakeable`."""
        if self.nudge != "bye":
            self.nudge = nudge
        self._woken.set()

    async def woken(self) -> None:
        """Return when there is a next generation, or a nudge."""
        await self._woken.wait()
        self._woken.clear()

    def close(self) -> None:
        """Stop waiting."""
        self._task.cancel()


async def follow(
    stream: HttpStream,
    codec: Codec,
    first: Beginning,
    *,
    serve: ServeLog,
    wait_created: WaitCreated,
    logs: ListLogs,
    bye: Callable[[], Bye],
) -> Leaving:
    """Serve one generation of a conversation after another, until the client leaves or the server says goodbye."""
    log, cursor, known = first
    while True:
        if log is not None:
            why = await serve(stream, log, cursor)
            if why != "finished":
                return why
            known = log.meta.generation
        log, cursor = _next(await logs(), known), None
        if log is None and not await _await_next(stream, codec, known, wait_created, bye):
            return "bye"


def _next(logs: Sequence[EventLog], known: str | None) -> EventLog | None:
    """The log after the known one; the newest when the known one is no longer kept."""
    names = [log.meta.generation for log in logs]
    if known is None:
        return logs[0] if logs else None
    if known in names:
        later = logs[names.index(known) + 1 :]
        return later[0] if later else None
    return logs[-1] if logs else None


async def _await_next(
    stream: HttpStream, codec: Codec, known: str | None, wait_created: WaitCreated, bye: Callable[[], Bye]
) -> bool:
    """Keep the stream alive until there is a next generation; False when the server says goodbye first."""
    idle = Idle(wait_created(known))
    stream.target = idle
    try:
        while not idle.over:
            await idle.woken()
            nudge, idle.nudge = idle.nudge, None
            if nudge is not None:
                data = codec.control(bye() if nudge == "bye" else Heartbeat())
                if data:
                    await stream.write(data)
                if nudge == "bye":
                    return False
        idle.result()
        return True
    finally:
        stream.target = None
        idle.close()
