"""One request to a model API and the events of its answer: what the adapters share, whatever the SDK.

The SDK makes the request, owns authentication and sees the status. From the first byte of the body on it is not asked
any more: its typed objects cost tens of microseconds a token, and its parsers take a truncated stream for a success.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Protocol

import httpx2
import msgspec

from ..errors import RealtimeError
from ..events import Content, Usage
from ..policy import Deadlines
from .base import Batch, Ended, Take
from .event_stream import ServerEvent, Splitter
from .faults import from_exception, from_garbage, from_in_band, log_fault, mapped
from .http import EarlyEndError
from .opened import Pour, Request, opened

# What may still come after the reason for the end is known: usage, and the end of the body.
_TAIL_S = 5.0
# Nothing is missing any more; a body read to its end leaves a connection that can be used again.
_DRAIN_S = 0.1

_FIELDS = (b"data", b"event", b"id", b"retry", b":")

Item = Content | Usage | Ended


class Framing(Protocol):
    """Takes the events of one stream out of its bytes."""

    @property
    def rest(self) -> bytes:
        """What came and is not a whole event yet, where that may be something else than a stream that was cut."""
        ...

    def feed(self, chunk: bytes, /) -> Iterable[ServerEvent]:
        """Take the next bytes and give the events they complete.

        Raises:
            RealtimeError: `upstream_protocol`.
        """
        ...


class Translator(Protocol):
    """Turns the events of one provider's stream into ours.

    Attributes:
        ended: Set when the provider has said why it ended.
        done: Nothing that matters can follow.
        unknown: How often something came that has no name here, by kind.
    """

    ended: Ended | None
    done: bool
    unknown: dict[str, int]

    def take(self, event: ServerEvent, batch: list[Item]) -> None:
        """Append what `event` means to `batch`, but `ended`.

        Raises:
            RealtimeError: When the event is an error or none of the provider's protocol; `batch` is valid still.
        """
        ...


def timeout(deadlines: Deadlines) -> httpx2.Timeout:
    """The SDK sees to the connection, a place in the pool included; silence is for the session to judge."""
    return httpx2.Timeout(None, connect=deadlines.connect_s, pool=deadlines.connect_s)


@asynccontextmanager
async def stream(
    request: Request, translator: Translator, deadlines: Deadlines, framing: Framing | None = None
) -> AsyncGenerator["Answer"]:
    """Make the request and give its answer; the upstream connection lives no longer than this context.

    Args:
        framing: Of its bytes; that of server-sent events when None.
    """
    opening = opened(request)
    del request
    async with opening as pour:
        # The session would take a longer wait for the provider's silence.
        yield Answer(pour, framing or Splitter(), translator, min(_TAIL_S, deadlines.idle_s / 2))


class Answer:
    """See `ProviderStream`: the body of one response, read to its end.

    Once the provider has said why it ended, the answer is whole. What comes behind that may add usage for a bounded
    time, and makes no failure of it.
    """

    def __init__(self, pour: Pour, framing: Framing, translator: Translator, tail_s: float) -> None:
        self._pour = pour
        self._translator = translator
        self._tail_s = tail_s
        self._framing = framing
        self._tail: list[Item] = []
        self._heard = self._ignored = False
        self._take: Take = _nobody
        self._limit: asyncio.Timeout | None = None
        self._theirs: Exception | None = None

    async def run(self, take: Take) -> None:
        """See `ProviderStream`."""
        self._take = take
        with mapped():
            await self._read()
            if not self._heard and self._theirs is None:
                _refuse_other_bodies(self._framing.rest)
        self._take = _nobody
        # Let go of it: an exception that is held by what its own traceback holds is freed late.
        theirs, self._theirs = self._theirs, None
        if theirs is not None:
            raise theirs
        ended = self._translator.ended
        if ended is not None:
            unknown = self._translator.unknown
            last = msgspec.structs.replace(ended, unknown=unknown) if unknown else ended
            waiting = take([*self._tail, last])
            if waiting is not None:
                await waiting

    async def _read(self) -> None:
        """Read to the end of the body, or to the end of what is waited for."""
        translator, limit = self._translator, asyncio.timeout(None)
        self._limit = limit
        try:
            async with limit:
                await self._pour(self._feed)
        except Exception as error:
            if self._theirs is not None:
                return
            if translator.ended is None and not (translator.done and limit.expired()):
                if isinstance(error, httpx2.ReadError | EarlyEndError):
                    raise _truncated() from None
                raise
            # A connection that breaks or stays open behind a whole answer is not worth a line.
            if not isinstance(error, TimeoutError | httpx2.HTTPError | OSError):
                self._ignore(error)
        finally:
            # It refers to the task, the task to what it failed with, and that to this frame.
            self._limit = None
            del limit

    def _feed(self, data: bytes) -> Awaitable[None] | None:
        """Translate what one read brought, and give it away."""
        translator = self._translator
        over = translator.ended is not None
        batch = self._tail if over else []
        was_done = translator.done
        try:
            events = iter(self._framing.feed(data))
            self._translate(events, batch)
        except Exception as error:
            # What came before the error in the same read was said, and is shown.
            waiting = self._give(batch)
            if waiting is not None:
                return _raise_after(waiting, error)
            raise
        if translator.ended is not None or translator.done:
            self._expect_end(begun=not over, done=translator.done and not was_done)
        return None if over else self._give(batch)

    def _translate(self, events: Iterator[ServerEvent], batch: list[Item]) -> None:
        translator = self._translator
        while True:
            try:
                for event in events:
                    self._heard = True
                    translator.take(event, batch)
            except Exception as error:
                if translator.ended is None:
                    raise
                self._ignore(error)
            else:
                return

    def _expect_end(self, *, begun: bool, done: bool) -> None:
        """Bound what is still waited for: shortly when nothing is missing, a little when usage may come."""
        if self._limit is not None and (begun or done):
            patience_s = _DRAIN_S if self._translator.done else self._tail_s
            self._limit.reschedule(asyncio.get_running_loop().time() + patience_s)

    def _give(self, batch: Batch) -> Awaitable[None] | None:
        try:
            return self._take(batch)
        except Exception as error:
            # What they raise is no fault of the provider's.
            self._theirs = error
            raise

    def _ignore(self, error: Exception) -> None:
        if not self._ignored:
            self._ignored = True
            fault = error if isinstance(error, RealtimeError) else from_exception(error)
            log_fault(fault, "ignored behind the end of an answer")


def _truncated() -> RealtimeError:
    """A connection that breaks within a body ends it early; before the head it would be one that was not had."""
    error = RealtimeError("upstream_truncated")
    error.add_note("reset")
    return error


async def _raise_after(waiting: Awaitable[None], error: Exception) -> None:
    await waiting
    raise error


def _nobody(_batch: Batch) -> None:
    """Takes what nobody wants any more."""


def _refuse_other_bodies(body: bytes) -> None:
    """Tell a body that never was an event stream from one that was cut short."""
    if not body.strip() or body.startswith(_FIELDS):
        return
    with suppress(msgspec.DecodeError):
        answer = msgspec.json.decode(body)
        # Gemini's compatible endpoint puts it in a list.
        given = answer[0] if isinstance(answer, list) and answer else answer
        if isinstance(given, dict) and given.get("error"):
            raise from_in_band(given["error"])
    raise from_garbage("The provider answered with something that is not an event stream.", body)
