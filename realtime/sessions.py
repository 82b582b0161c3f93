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
import math
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec

from .bus.base import Writer
from .errors import RealtimeError
from .events import Attempt, Finished, StoppedBy, Summary, Timings, Usage
from .hooks import FirstEvent, Hooks
from .policy import Deadlines
from .prompt import Prompt
from .providers.base import Batch, Ended, Provider

_logger = logging.getLogger("realtime")

# What a provider's stream may take to close once it was interrupted; user code may swallow a cancellation.
_CLOSE_S = 5.0
# How often, at the most, a session looks at its deadlines.
_LEAST_WATCH_S = 0.02
# English prose, by OpenAI's own rule of thumb.
_BYTES_PER_TOKEN = 4
# Most APIs send a delta per token, and then the deltas are the better count: code and markdown have longer tokens than
# prose. Where deltas are longer than this on average (Anthropic's), they hold several.
_BYTES_PER_DELTA = 8


class Stop(msgspec.Struct, frozen=True):
    by: StoppedBy


class Expired(msgspec.Struct, frozen=True):
    code: Literal["timeout_first_event", "timeout_idle", "timeout_total", "worker_shutdown"]


class Session:
    """Drives one generation from admission to its terminal event.

    Args:
        writer: Of a log that holds `started`.
        alias: The provider's alias, for the wire.
        grace_s: Seconds without an observer, after there was one, until it stops itself; None for never.
    """

    def __init__(
        self,
        writer: Writer,
        provider: Provider,
        prompt: Prompt,
        *,
        alias: str,
        deadlines: Deadlines,
        grace_s: float | None,
        hooks: Hooks,
        ask_stop: Callable[[StoppedBy], None],
    ) -> None:
        self.log = writer.log
        self._writer = writer
        self._provider = provider
        self._prompt = prompt
        self._alias = alias
        self._deadlines = deadlines
        self._hooks = hooks
        self._presence = _Presence(grace_s, lambda: ask_stop("disconnect"))
        self._cause: Stop | Expired | None = None
        self._ended: Ended | None = None
        self._inner: asyncio.Task[Ended] | None = None
        self._over = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._now = asyncio.get_running_loop().time
        self._began = self._heard = 0.0
        self._first_event_ms: int | None = None
        self._usage: Usage | None = None
        self._prelude: tuple[int, int] | None = None
        # From now on, not from the first step of `run`: a stop and an observer may both come before it.
        self.log.on_presence = self._presence.changed
        writer.on_stop(lambda by: self._interrupt(Stop(by)))

    async def run(self) -> Summary | None:
        """Drive the generation to its end.

        Returns:
            Its summary when this session's terminal event ended the log, else None.
        """
        self._began = self._heard = self._now()
        self._inner = asyncio.get_running_loop().create_task(self._drive(), name=f"drive {self.log.meta.generation}")
        self._inner.add_done_callback(self._inner_over)
        self._watch()
        if self._cause is not None:
            self._cancel(self._inner)
        await self._over.wait()
        self._close()
        finished = self._conclude(self._inner)
        if self._inner.done():
            _let_go(self._inner)
            # It refers back to this. One that does not end is kept, because nobody else may.
            self._inner = None
        if await self._writer.seal(finished) == "won":
            return self._summarise(finished)
        return None

    def shut_down(self) -> None:
        """End the generation because its process is going away."""
        self._interrupt(Expired("worker_shutdown"))

    def _interrupt(self, cause: Stop | Expired) -> None:
        if self._cause is None:
            self._cause = cause
            if self._inner is not None:
                self._cancel(self._inner)

    def _cancel(self, inner: "asyncio.Task[Ended]") -> None:
        inner.cancel()
        self._arm(self._now() + _CLOSE_S, self._give_up)

    def _inner_over(self, inner: "asyncio.Task[Ended]") -> None:
        """Wake the outer task; look at the exception, which nobody else will after a give-up."""
        if not inner.cancelled():
            inner.exception()
        self._over.set()

    def _give_up(self) -> None:
        """End without a provider that will not close; its task is left to itself."""
        _logger.error("the provider of %s did not close in %g s", self.log.meta.generation, _CLOSE_S)
        self._over.set()

    async def _drive(self) -> Ended:
        prompt, writer = self._prompt, self._writer
        writer.append(Attempt(n=1, provider=self._alias, model=prompt.model))
        self._prelude = (self.log.head, self.log.appended_bytes)
        async with self._provider.open(prompt, self._deadlines) as stream:
            await stream.run(self._take)
        if self._ended is None:
            raise RealtimeError("upstream_truncated")
        return self._ended

    def _take(self, batch: Batch) -> Awaitable[None] | None:
        append = self._writer.append
        for item in batch:
            if isinstance(item, Ended):
                self._ended = item
            elif isinstance(item, Usage):
                self._usage = item
            else:
                append(item)
                if self._first_event_ms is None:
                    self._note_first()
        waiting = self._writer.room()
        if waiting is not None:
            return self._wait(waiting)
        self._heard = self._now()
        return None

    async def _wait(self, room: Awaitable[None]) -> None:
        """Until the log has room it is not the provider who is silent."""
        self._heard = math.inf
        await room
        self._heard = self._now()

    def _note_first(self) -> None:
        self._first_event_ms = self._elapsed_ms()
        self._hooks(FirstEvent(self.log.meta, self._first_event_ms))

    def _watch(self) -> None:
        """Find the deadline that is next, and interrupt when one has passed."""
        limits = self._deadlines
        pending = [(self._began + limits.total_s, Expired("timeout_total"))]
        if self._first_event_ms is None:
            pending.append((self._began + limits.first_event_s, Expired("timeout_first_event")))
        else:
            pending.append((self._heard + limits.idle_s, Expired("timeout_idle")))
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
        cause, usage = self._cause, self._settled_usage()
        timings = Timings(duration_ms=self._elapsed_ms(), first_event_ms=self._first_event_ms)
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

    def _settled_usage(self) -> Usage:
        """The provider's figures, or what can be counted from the log when it did not get to give them."""
        usage = self._usage
        if usage is not None and not usage.estimated:
            return usage
        known = usage or Usage(input_tokens=-(-self._prompt.text_length() // _BYTES_PER_TOKEN))
        counted = max(known.output_tokens, self._counted_tokens())
        return msgspec.structs.replace(known, output_tokens=counted, estimated=True)

    def _counted_tokens(self) -> int:
        """Tokens of what was said, by the log."""
        if self._prelude is None:
            return 0
        deltas, size = self.log.head - self._prelude[0], self.log.appended_bytes - self._prelude[1]
        return deltas if size <= deltas * _BYTES_PER_DELTA else -(-size // _BYTES_PER_TOKEN)

    def _elapsed_ms(self) -> int:
        return int((self._now() - self._began) * 1000)

    def _summarise(self, finished: Finished) -> Summary:
        meta = self.log.meta
        return Summary(
            generation=meta.generation,
            tenant=meta.tenant,
            subject=meta.subject,
            provider=self._alias,
            model=self._prompt.model,
            created_ms=meta.created_ms,
            outcome=finished.outcome,
            usage=finished.usage,
            timings=finished.timings,
            events=self.log.head,
            reason=finished.reason,
            native_reason=finished.native_reason,
            stopped_by=finished.stopped_by,
            error=finished.error,
            conversation=meta.conversation,
            metadata=meta.metadata,
        )


def _let_go(inner: "asyncio.Task[Ended]") -> None:
    """Part what it failed with from its frames. They keep each other, with the request and the session, until a full
    collection; and under many failures those would come often.

    The frames themselves are left alone: a generator's failure may come from another task of its own, which goes on,
    and to clear the frame of one that is suspended is to close it.
    """
    error = None if inner.cancelled() else inner.exception()
    while error is not None:
        error.__traceback__ = None
        error = error.__context__


class _Presence:
    """Notices that everyone has left. One whom nobody ever observed is a batch job and is left alone."""

    def __init__(self, grace_s: float | None, abandoned: Callable[[], None]) -> None:
        self._grace_s = grace_s
        self._abandoned = abandoned
        self._observed = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def grace_ends_at(self) -> float | None:
        """Loop time at which it is given up; None while it is not alone."""
        return self._timer.when() if self._timer is not None else None

    def changed(self, present: int, observed: bool) -> None:  # noqa: FBT001 - the log's callback
        """Start the grace when the last reader leaves, end it when one comes.

        Args:
            observed: Whether the one who came or went is an observer; one who only waited for the end is none.
        """
        self.close()
        self._observed = self._observed or observed
        if present == 0 and self._observed and self._grace_s is not None:
            self._timer = asyncio.get_running_loop().call_later(self._grace_s, self._abandoned)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
