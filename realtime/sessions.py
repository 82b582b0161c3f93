"""The live driver of one generation: provider stream in, log out, one ending whatever happens.

Two tasks. The inner one reads the provider and may be cancelled at any await: by a stop, a deadline, a shutdown. The
outer one is cancelled by nobody; it waits for the inner to be over, which closes the upstream socket, and then writes
the terminal event. So a stop can race with an end, a fault or another stop and the log still ends once, and the final
write cannot be lost to a second cancellation.

No timer, lock or task is made per token. Deadlines are one timer that, when it fires, looks at when the provider was
last heard and goes back to sleep.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Literal

import msgspec

from .attempts import Attempts
from .bus.base import Writer
from .driving import Drive
from .errors import RealtimeError
from .events import Finished, StoppedBy, Summary, Timings
from .hooks import Hooks
from .policy import Deadlines
from .presence import Presence
from .providers.base import Ended
from .tracebacks import part

_logger = logging.getLogger("realtime")

# What a provider's stream may take to close once it was interrupted; user code may swallow a cancellation.
_CLOSE_S = 5.0
# For the end of a stopped answer that is read on for its figures; long answers take a minute.
_READ_ON_S = 90.0
# How often, at the most, a session looks at its deadlines.
_LEAST_WATCH_S = 0.02


class Stop(msgspec.Struct, frozen=True):
    by: StoppedBy


class Expired(msgspec.Struct, frozen=True):
    code: Literal["timeout_first_event", "timeout_idle", "timeout_total", "worker_shutdown", "driver_lost"]


class Session:
    """Drives one generation from admission to its terminal event.

    Args:
        writer: Of a log that holds `started`.
        attempts: Who is asked, and who is asked next.
        grace_s: Seconds without an observer, after there was one, until it stops itself; None for never.
    """

    def __init__(
        self,
        writer: Writer,
        attempts: Attempts,
        *,
        deadlines: Deadlines,
        grace_s: float | None,
        hooks: Hooks,
        ask_stop: Callable[[StoppedBy], None],
    ) -> None:
        self.log = writer.log
        self._writer = writer
        self._drive = Drive(writer, attempts, deadlines, hooks)
        self._deadlines = deadlines
        self._presence = Presence(grace_s, lambda: ask_stop("disconnect"))
        self._cause: Stop | Expired | None = None
        self._inner: asyncio.Task[Ended] | None = None
        self._detached = False
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._now = asyncio.get_running_loop().time
        self._began = self._now()
        # From now on, not from the first step of `run`: a stop and an observer may both come before it.
        self.log.on_presence = self._presence.changed
        writer.on_stop(lambda by: self._interrupt(Stop(by)))
        # What it would say cannot be written any more, and is not to be paid for.
        writer.on_lost(lambda: self._interrupt(Expired("driver_lost")))

    async def run(self) -> Summary | None:
        """Drive the generation to its end.

        Returns:
            Its summary when this session's terminal event ended the log, else None.
        """
        self._inner = asyncio.get_running_loop().create_task(
            self._drive.run(), name=f"drive {self.log.meta.generation}"
        )
        self._inner.add_done_callback(self._inner_over)
        self._watch()
        if self._cause is not None:
            self._cancel(self._inner)
        await self._over
        self._close()
        finished, won = await self._seal(self._conclude(self._inner))
        if self._detached:
            await self._read_on(self._inner)
        if self._inner.done():
            _let_go(self._inner)
            # It refers back to this. One that does not end is kept, because nobody else may.
            self._inner = None
        return self._summarise(finished) if won else None

    async def _seal(self, finished: Finished) -> tuple[Finished, bool]:
        """End the log, as was found or as there is room for; whether it was this that ended it."""
        try:
            won = await self._writer.seal(finished)
        except RealtimeError as error:
            # Some of what was said is in no log: that is no answer, and no stop either.
            usage, timings = finished.usage, finished.timings
            finished = Finished("failed", error=error.error, usage=usage, timings=timings)
            won = await self._writer.seal(finished)
        return finished, won == "won"

    async def _read_on(self, inner: "asyncio.Task[Ended]") -> None:
        """Wait for the end of an answer that nobody wants any more, but not for ever."""
        await asyncio.wait({inner}, timeout=_READ_ON_S)
        if not inner.done():
            inner.cancel()
            await asyncio.wait({inner}, timeout=_CLOSE_S)

    def shut_down(self) -> None:
        """End the generation because its process is going away."""
        if self._detached and self._inner is not None:
            self._inner.cancel()
        self._interrupt(Expired("worker_shutdown"))

    def _interrupt(self, cause: Stop | Expired) -> None:
        if self._cause is None:
            self._cause = cause
            if self._inner is None:
                return
            if isinstance(cause, Stop) and self._drive.detach():
                self._detached = True
                self._end_wait()
            else:
                self._cancel(self._inner)

    def _cancel(self, inner: "asyncio.Task[Ended]") -> None:
        inner.cancel()
        self._arm(self._now() + _CLOSE_S, self._give_up)

    def _inner_over(self, inner: "asyncio.Task[Ended]") -> None:
        """Wake the outer task; look at the exception, which nobody else will after a give-up."""
        if not inner.cancelled():
            inner.exception()
        self._end_wait()

    def _end_wait(self) -> None:
        if not self._over.done():
            self._over.set_result(None)

    def _give_up(self) -> None:
        """End without a provider that will not close; its task is left to itself."""
        _logger.error("the provider of %s did not close in %g s", self.log.meta.generation, _CLOSE_S)
        self._end_wait()

    def _watch(self) -> None:
        """Find the deadline that is next, and interrupt when one has passed."""
        drive = self._drive
        limits = drive.limits
        pending = [(self._began + self._deadlines.total_s, Expired("timeout_total"))]
        if drive.first_event_ms is None:
            # The attempt has a limit of its own, after which another may follow; this is for one that will not end.
            pending.append((drive.asked + limits.first_event_s + _CLOSE_S, Expired("timeout_first_event")))
        else:
            pending.append((drive.heard + limits.idle_s, Expired("timeout_idle")))
        due, cause = min(pending, key=lambda pair: pair[0])
        if due <= self._now():
            self._interrupt(cause)
        else:
            # The first content may come at any time and bring a nearer deadline with it; looking at least once per
            # idle period finds it no later than one period after it passed its start. A caller who asks for a period
            # of a nanosecond does not get a core for it.
            now = self._now()
            self._arm(max(min(due, now + limits.idle_s), now + _LEAST_WATCH_S), self._watch)

    def _arm(self, at: float, callback: Callable[[], None]) -> None:
        """There is one timer: what is next to happen to a session that nothing happens to."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(at, callback)

    def _close(self) -> None:
        self._presence.close()
        self.log.on_presence = None
        if self._timer is not None:
            self._timer.cancel()

    def _conclude(self, inner: "asyncio.Task[Ended]") -> Finished:
        """Say how it ended. An end the provider reached first wins over an interruption that came too late."""
        cause, usage = self._cause, self._drive.usage()
        timings = Timings(duration_ms=self._drive.elapsed_ms, first_event_ms=self._drive.first_event_ms)
        error = None if not inner.done() or inner.cancelled() else inner.exception()
        if inner.done() and not inner.cancelled() and error is None:
            ended = inner.result()
            return Finished("completed", ended.reason, ended.native_reason, usage=usage, timings=timings)
        if isinstance(cause, Stop):
            return Finished("stopped", stopped_by=cause.by, usage=usage, timings=timings)
        if isinstance(cause, Expired):
            error = RealtimeError(cause.code)
        elif not isinstance(error, RealtimeError):
            _logger.error("driving %s failed", self.log.meta.generation, exc_info=error)
            error = RealtimeError("internal")
        return Finished("failed", error=error.error, usage=usage, timings=timings)

    def _summarise(self, finished: Finished) -> Summary:
        meta, target = self.log.meta, self._drive.target
        _, _, asked = meta.model.partition("/")
        # Of an answer that was read on after a stop there are better figures now.
        usage = self._drive.usage() if self._detached else finished.usage
        prices = None if target is None else target.deployment.prices(target.prompt.model)
        return Summary(
            generation=meta.generation,
            tenant=meta.tenant,
            subject=meta.subject,
            provider=meta.provider if target is None else target.deployment.alias,
            model=asked if target is None else target.prompt.model,
            created_ms=meta.created_ms,
            outcome=finished.outcome,
            usage=usage,
            timings=finished.timings,
            events=self.log.head,
            attempts=self._drive.attempts.count,
            cost=None if prices is None else prices.cost(usage),
            reason=finished.reason,
            native_reason=finished.native_reason,
            stopped_by=finished.stopped_by,
            error=finished.error,
            conversation=meta.conversation,
            metadata=meta.metadata,
        )


def _let_go(inner: "asyncio.Task[Ended]") -> None:
    """Part what it failed with from its frames."""
    try:
        error = inner.exception()
    except asyncio.CancelledError as cancelled:
        # The task keeps this one, too, until it is asked for it.
        part(cancelled)
    else:
        part(error)
