"""One request to a model API and the events of its answer: what the adapters share, whatever the SDK.

The SDK makes the request, owns authentication and sees the status. From the first byte of the body on it is not asked
any more: its typed objects cost tens of microseconds a token, and its parsers take a truncated stream for a success.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
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
from .faults import from_garbage, from_in_band, mapped

# What may still come after the reason for the end is known: usage, and the end of the body.
_TAIL_S = 5.0
# Nothing is missing any more; a body read to its end leaves a connection that can be used again.
_DRAIN_S = 0.1

_MODELS_TIMEOUT_S = 3.0
_MODELS_KEPT_S = 300.0
_MODELS_RETRY_S = 15.0

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
    *,
    secret: str,
) -> AsyncGenerator[AsyncIterator[Batch]]:
    """Make the request and give its batches; the upstream connection lives no longer than this context.

    Args:
        secret: The key it is made with, to be kept out of the log.
    """
    # The session would take a longer wait for the provider's silence.
    tail_s = min(_TAIL_S, deadlines.idle_s / 2)
    async with AsyncExitStack() as stack:
        with mapped(secret):
            response = await stack.enter_async_context(request())
        chunks = await stack.enter_async_context(_closing(response.iter_bytes()))
        yield await stack.enter_async_context(aclosing(_batches(chunks, translator, secret, tail_s)))


@asynccontextmanager
async def _closing(chunks: AsyncIterator[bytes]) -> AsyncGenerator[AsyncIterator[bytes]]:
    """Close the SDK's generator here and now; left to the garbage collector it would cost a task of its own."""
    try:
        yield chunks
    finally:
        if isinstance(chunks, AsyncGenerator):
            with suppress(httpx2.HTTPError):
                await chunks.aclose()


async def _batches(
    chunks: AsyncIterator[bytes], translator: Translator, secret: str, tail_s: float
) -> AsyncGenerator[Batch]:
    splitter = Splitter()
    heard = False
    with mapped(secret):
        async for chunk in chunks:
            batch: list[Item] = []
            try:
                for event in splitter.feed(chunk):
                    heard = True
                    translator.take(event, batch)
            except RealtimeError:
                # What came before the error in the same read was said, and is shown.
                yield batch
                raise
            yield batch
            if translator.ended is not None:
                yield [*await _tail(chunks, splitter, translator, tail_s), translator.ended]
                return
            if translator.done:
                return
        if not heard:
            _refuse_other_bodies(splitter.rest, secret)


async def _tail(chunks: AsyncIterator[bytes], splitter: Splitter, translator: Translator, tail_s: float) -> list[Item]:
    """Read on to the end of the body, for a bounded time. The answer is whole: a broken connection is no failure."""
    batch: list[Item] = []
    now = asyncio.get_running_loop().time
    with suppress(httpx2.HTTPError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(_DRAIN_S if translator.done else tail_s) as limit:
            async for chunk in chunks:
                was_done = translator.done
                for event in splitter.feed(chunk):
                    translator.take(event, batch)
                if translator.done and not was_done:
                    limit.reschedule(now() + _DRAIN_S)
    return batch


def _refuse_other_bodies(body: bytes, secret: str) -> None:
    """Tell a body that never was an event stream from one that was cut short."""
    if not body.strip() or body.startswith(_FIELDS):
        return
    with suppress(msgspec.DecodeError):
        answer = msgspec.json.decode(body)
        if isinstance(answer, dict) and answer.get("error"):
            raise from_in_band(answer["error"], secret)
    raise from_garbage("The provider answered with something that is not an event stream.", body, secret)


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


class ModelNames:
    """The names of a provider's models, asked for seldom and never waited for long."""

    def __init__(self, fetch: Callable[[], Awaitable[Sequence[str]]], secret: str) -> None:
        self._fetch = fetch
        self._secret = secret
        self._names: Sequence[str] = ()
        self._fresh_until = 0.0
        self._lock = asyncio.Lock()

    async def get(self) -> Sequence[str]:
        """The names, some minutes old at most; the last known ones, or none, when the provider does not answer."""
        now = asyncio.get_running_loop().time
        async with self._lock:
            if now() >= self._fresh_until:
                kept_s = _MODELS_RETRY_S
                with suppress(RealtimeError), mapped(self._secret):
                    async with asyncio.timeout(_MODELS_TIMEOUT_S):
                        self._names = tuple(await self._fetch())
                    kept_s = _MODELS_KEPT_S
                self._fresh_until = now() + kept_s
        return self._names
