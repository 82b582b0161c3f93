"""One request to a model API and the events of its answer: what the adapters share, whatever the SDK.

The SDK makes the request, owns authentication and sees the status. From the first byte of the body on it is not asked
any more: its typed objects cost tens of microseconds a token, and its parsers take a truncated stream for a success.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager, suppress
from typing import Protocol

import aiohttp
import httpx2
import msgspec

from ..errors import RealtimeError
from ..events import Content, Usage
from ..policy import Deadlines
from .base import Batch, Ended
from .event_stream import ServerEvent, Splitter
from .faults import from_exception, from_garbage, from_in_band, log_fault, mapped

# What may still come after the reason for the end is known: usage, and the end of the body.
_TAIL_S = 5.0
# Nothing is missing any more; a body read to its end leaves a connection that can be used again.
_DRAIN_S = 0.1

# uvicorn, and so vLLM and most local servers, closes idle connections after 5 s. A request must not meet that close
# on its way, because nobody repeats it.
KEEPALIVE_S = 4.0

_FIELDS = (b"data", b"event", b"id", b"retry", b":")

Item = Content | Usage | Ended


class Translator(Protocol):
    """Turns the events of one provider's stream into ours.

    Attributes:
        ended: Set when the provider has said why it ended.
        done: Nothing that matters can follow.
    """

    ended: Ended | None
    done: bool

    def take(self, event: ServerEvent, batch: list[Item]) -> None:
        """Append what `event` means to `batch`, but `ended`.

        Raises:
            RealtimeError: When the event is an error or none of the provider's protocol; `batch` is valid still.
        """
        ...


class Response(Protocol):
    """What both SDKs give for a response whose body was not read."""

    def iter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]: ...


def timeout(deadlines: Deadlines) -> httpx2.Timeout:
    """The SDK sees to the connection, a place in the pool included; silence is for the session to judge."""
    return httpx2.Timeout(None, connect=deadlines.connect_s, pool=deadlines.connect_s)


def limits(max_connections: int) -> httpx2.Limits:
    return httpx2.Limits(max_connections=max_connections, keepalive_expiry=KEEPALIVE_S)


@asynccontextmanager
async def stream(
    request: Callable[[], AbstractAsyncContextManager[Response]],
    translator: Translator,
    deadlines: Deadlines,
) -> AsyncGenerator[AsyncIterator[Batch]]:
    """Make the request and give its batches; the upstream connection lives no longer than this context."""
    # The session would take a longer wait for the provider's silence.
    tail_s = min(_TAIL_S, deadlines.idle_s / 2)
    async with AsyncExitStack() as stack:
        response = await stack.enter_async_context(_opened(request()))
        chunks = await stack.enter_async_context(_closing(response.iter_bytes()))
        yield await stack.enter_async_context(aclosing(_batches(chunks, translator, tail_s)))


@asynccontextmanager
async def _opened(request: AbstractAsyncContextManager[Response]) -> AsyncGenerator[Response]:
    """The response; how its closing fails says nothing about the answer, which was had or failed before."""
    with mapped():
        response = await request.__aenter__()
    try:
        yield response
    finally:
        with suppress(Exception):
            await request.__aexit__(None, None, None)


@asynccontextmanager
async def _closing(chunks: AsyncIterator[bytes]) -> AsyncGenerator[AsyncIterator[bytes]]:
    """Close the SDK's generator here and now; left to the garbage collector it would cost a task of its own."""
    try:
        yield chunks
    finally:
        if isinstance(chunks, AsyncGenerator):
            with suppress(Exception):
                await chunks.aclose()


async def _batches(chunks: AsyncIterator[bytes], translator: Translator, tail_s: float) -> AsyncGenerator[Batch]:
    splitter, tail = Splitter(), _Tail(translator)
    heard = False
    with mapped():
        async for chunk in chunks:
            batch: list[Item] = []
            try:
                for event in splitter.feed(chunk):
                    heard = True
                    tail.take(event, batch)
            except RealtimeError:
                # What came before the error in the same read was said, and is shown.
                yield batch
                raise
            yield batch
            if translator.ended is not None:
                yield [*await tail.read(chunks, splitter, tail_s), translator.ended]
                return
            if translator.done:
                return
        if not heard:
            _refuse_other_bodies(splitter.rest)


class _Tail:
    """What comes once the provider has said why it ended. The answer is whole: nothing there makes it a failure."""

    def __init__(self, translator: Translator) -> None:
        self._translator = translator
        self._ignored = False

    def take(self, event: ServerEvent, batch: list[Item]) -> None:
        """Translate an event, of the tail or of before."""
        try:
            self._translator.take(event, batch)
        except Exception as error:
            if self._translator.ended is None:
                raise
            self._ignore(error)

    async def read(self, chunks: AsyncIterator[bytes], splitter: Splitter, tail_s: float) -> list[Item]:
        """Read on to the end of the body, for a bounded time."""
        batch: list[Item] = []
        translator, now = self._translator, asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(_DRAIN_S if translator.done else tail_s) as limit:
                async for chunk in chunks:
                    was_done = translator.done
                    for event in splitter.feed(chunk):
                        self.take(event, batch)
                    if translator.done and not was_done:
                        limit.reschedule(now() + _DRAIN_S)
        except (httpx2.HTTPError, aiohttp.ClientError, OSError):
            # A connection that breaks or stays open behind a whole answer is not worth a line.
            pass
        except Exception as error:  # noqa: BLE001 - of whatever kind, see the class.
            self._ignore(error)
        return batch

    def _ignore(self, error: Exception) -> None:
        if not self._ignored:
            self._ignored = True
            fault = error if isinstance(error, RealtimeError) else from_exception(error)
            log_fault(fault, "ignored behind the end of an answer")


def _refuse_other_bodies(body: bytes) -> None:
    """Tell a body that never was an event stream from one that was cut short."""
    if not body.strip() or body.startswith(_FIELDS):
        return
    with suppress(msgspec.DecodeError):
        answer = msgspec.json.decode(body)
        if isinstance(answer, dict) and answer.get("error"):
            raise from_in_band(answer["error"])
    raise from_garbage("The provider answered with something that is not an event stream.", body)


def tolerant_json(data: bytes) -> bytes:
    """The same JSON with U+FFFD for whatever is half a character.

    Some servers cut between the two `\\u` escapes of an emoji, others inside its UTF-8. msgspec refuses both, rightly;
    the price of a strange token is that token and not the generation.

    Raises:
        ValueError: When it is not JSON all the same.
    """
    value = json.loads(data.decode("utf-8", "replace"))
    text = json.dumps(value, ensure_ascii=False)
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
