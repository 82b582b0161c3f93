"""The inner half of a session: asks providers, and writes down what they say.

It may be cancelled at any await, and what is left of it then is what it noted: who was asked, what was said, when.
"""

import asyncio
import math
from collections.abc import Awaitable

import msgspec

from .attempts import Attempts, Target
from .bus.base import Writer
from .errors import ErrorObject, RealtimeError
from .events import Attempt, Queued, Usage
from .hooks import AttemptEnded, FirstEvent, Hooks
from .policy import Deadlines
from .providers.base import Batch, Ended
from .tracebacks import part
from .usage import BYTES_PER_TOKEN, estimated_tokens


class Drive:
    """The tries of one generation, until one is an answer.

    Args:
        writer: Of a log that holds `started`.
        deadlines: Of the session, which keeps them but for the first event of an attempt that others may follow.

    Attributes:
        target: Who was asked last.
        limits: The deadlines of that attempt.
        asked: Loop time at which it was asked; infinite while nobody is.
        heard: Loop time at which it was last heard; infinite while it is the log that has no room.
        first_event_ms: When the first content came; None while there is none.
    """

    __slots__ = (
        "_began", "_deadlines", "_detached", "_ended", "_hooks", "_log", "_now", "_prelude", "_silence", "_usage",
        "_writer", "asked", "attempts", "first_event_ms", "heard", "limits", "target",
    )  # fmt: skip

    def __init__(self, writer: Writer, attempts: Attempts, deadlines: Deadlines, hooks: Hooks) -> None:
        self.attempts = attempts
        self.target: Target | None = None
        self.limits = deadlines
        self.asked = math.inf
        self.first_event_ms: int | None = None
        self._now = asyncio.get_running_loop().time
        self._began = self.heard = self._now()
        self._writer = writer
        self._log = writer.log
        self._deadlines = deadlines
        self._hooks = hooks
        self._detached = False
        self._silence: asyncio.Timeout | None = None
        self._ended: Ended | None = None
        self._usage: Usage | None = None
        self._prelude: tuple[int, int] | None = None

    def detach(self) -> bool:
        """Write nothing more, and read on for the provider's figures, if that is how this provider is to be stopped.

        Returns:
            Whether it does; else it is for the caller to cancel it.
        """
        reading = self.asked < math.inf and self._ended is None
        self._detached = reading and self.target is not None and self.target.deployment.on_stop == "drain"
        return self._detached

    @property
    def elapsed_ms(self) -> int:
        """Since it was made."""
        return int((self._now() - self._began) * 1000)

    async def run(self) -> Ended:
        """Ask until there is an answer, or nobody left to ask.

        Raises:
            RealtimeError: What the last attempt failed with.
        """
        attempts = self.attempts
        failed: ErrorObject | None = None
        while True:
            self.asked = math.inf
            target = await attempts.next(self._queue)
            try:
                ended = await self._ask(target, failed)
            except BaseException as error:
                fault = error if isinstance(error, RealtimeError) else None
                self._over(target, fault)
                # Who stopped it wants no other answer, and would pay for one.
                over = self._detached or self.first_event_ms is not None
                if over or fault is None or not attempts.may_follow(target, fault):
                    raise
                failed = fault.error
                part(fault)
            else:
                self._over(target, None)
                return ended

    def _queue(self, position: int) -> None:
        self._writer.append(Queued(position))

    async def _ask(self, target: Target, failed: ErrorObject | None) -> Ended:
        """Ask one provider, and take what it says."""
        deployment, prompt = target
        self.target, self._usage = target, None
        self._writer.append(Attempt(self.attempts.count, deployment.alias, prompt.model, failed))
        self._prelude = self._writer.written
        own = deployment.deadlines
        self.limits = limits = self._deadlines if own is None else self._deadlines.within(own)
        self.asked = self.heard = self._now()
        silence = self._silence = asyncio.timeout(limits.first_event_s)
        try:
            async with silence, deployment.provider.open(prompt, limits) as stream:
                await stream.run(self._take)
        except TimeoutError:
            if not silence.expired():
                raise
            raise RealtimeError("timeout_first_event") from None
        finally:
            # It refers to the task, the task to what it failed with, and that to this frame.
            self._silence = None
            del silence
        if self._ended is None:
            raise RealtimeError("upstream_truncated")
        return self._ended

    def _over(self, target: Target, error: RealtimeError | None) -> None:
        deployment = target.deployment
        said = self.first_event_ms is not None or self._ended is not None
        self.attempts.over(target, error, said=said)
        code = None if error is None else error.code
        unknown = {} if self._ended is None else self._ended.unknown
        model = target.prompt.model
        self._hooks(AttemptEnded(self._log.meta, deployment.alias, deployment.name, model, code, unknown))

    def _take(self, batch: Batch) -> Awaitable[None] | None:
        append = self._writer.append
        together = len(batch) > 1
        for item in batch:
            if isinstance(item, Ended):
                self._ended = item
            elif isinstance(item, Usage):
                self._usage = item
            elif not self._detached:
                append(item, more=together)
                if self.first_event_ms is None:
                    self._note_first()
        if together:
            self._writer.show()
        waiting = self._writer.room()
        if waiting is not None:
            return self._wait(waiting)
        self.heard = self._now()
        return None

    async def _wait(self, room: Awaitable[None]) -> None:
        """Until the log has room it is not the provider who is silent."""
        self.heard = math.inf
        await room
        self.heard = self._now()

    def _note_first(self) -> None:
        self.first_event_ms = self.elapsed_ms
        if self._silence is not None and not self._silence.expired():
            self._silence.reschedule(None)
        self._hooks(FirstEvent(self._log.meta, self.first_event_ms))

    def usage(self) -> Usage:
        """The provider's figures, or what can be counted from the log when it did not get to give them."""
        usage = self._usage
        if usage is not None and not usage.estimated:
            return usage
        if self.target is None:
            return Usage()
        known = usage or Usage(input_tokens=-(-self.target.prompt.text_length() // BYTES_PER_TOKEN))
        counted = max(known.output_tokens, self._counted_tokens())
        return msgspec.structs.replace(known, output_tokens=counted, estimated=True)

    def _counted_tokens(self) -> int:
        """Tokens of what was said, by the log."""
        if self._prelude is None:
            return 0
        events, written = self._writer.written
        return estimated_tokens(events - self._prelude[0], written - self._prelude[1])
