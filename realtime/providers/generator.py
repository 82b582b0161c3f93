"""Drives a function of the user's as a provider: an agent, a RAG chain, the rows of a query.

What the function yields becomes events:

    str                         Text
    Text, ToolCall, Data, …     itself
    Usage, Ended                itself; `Ended` is the last thing that is asked for
    None                        nothing but a sign of life, which holds off the idle deadline
    any other JSON value        Data("data", value)

Values are copied through JSON where they enter. So what the function does to them later changes nothing, and what no
client could be sent fails here, in the function's own log line, and not in an observer's connection.

An async generator runs in the session's task, a plain one in a thread of its own: it may block, and a thread from a
shared pool would let a few blocking functions starve all others.
"""

import asyncio
import json
import logging
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import aclosing, nullcontext, suppress
from typing import Any, TypeVar

import msgspec

from ..errors import RealtimeError
from ..events import PHASES, Content, Data, Event, Text, Usage
from ..policy import Deadlines
from ..prompt import Prompt
from .base import Batch, Ended, ProviderStream

_logger = logging.getLogger("realtime")

# Items between a thread and the loop: enough that a wake-up is shared by many, little enough to be no memory.
_HANDOVER = 1024
# What leaving a stream waits for a thread that is inside the user's code; it cannot be interrupted there.
_MOMENT_S = 0.25

Function = Callable[[Prompt], AsyncIterator[Any] | Iterator[Any]]
Item = Content | Usage | Ended
T = TypeVar("T")


class GeneratorProvider:
    """See `Provider`, and the module for what `function` may yield.

    A function that returns has ended with "stop"; one that raises has failed, as `internal` unless it raised a
    `RealtimeError` of its own choosing. Limits such as `Prompt.max_tokens` are for the function to keep.

    Args:
        function: An async or plain generator function of one prompt.
        models: Names callers may use; the function finds the one asked for in `Prompt.model`.
        options: Names the function understands in `Prompt.options`; any other is refused.
    """

    def __init__(
        self, function: Function, *, models: Sequence[str] = ("default",), options: Collection[str] = ()
    ) -> None:
        self._function = function
        self._models = tuple(models)
        self._options = frozenset(options)

    def check(self, prompt: Prompt) -> None:
        if prompt.model not in self._models:
            raise RealtimeError("bad_request", f"The models here are {', '.join(self._models)}.", field="model")
        for name in prompt.options:
            if name not in self._options:
                field = f"options.{name}"
                raise RealtimeError("bad_request", f"Unknown field {field!r}.", field=field)

    def open(self, prompt: Prompt, deadlines: Deadlines) -> ProviderStream:  # noqa: ARG002 - nothing to connect to.
        return aclosing(self._stream(prompt))

    async def models(self) -> Sequence[str]:
        return self._models

    async def close(self) -> None:
        return None

    async def _stream(self, prompt: Prompt) -> AsyncGenerator[Batch, None]:
        async with aclosing(self._batches(prompt)) as batches:
            async for batch in batches:
                for at, item in enumerate(batch):
                    if isinstance(item, Ended):
                        yield batch[: at + 1]
                        return
                yield batch
        yield (Ended("stop"),)

    def _batches(self, prompt: Prompt) -> AsyncGenerator[Batch, None]:
        source: Any = self._function(prompt)
        if isinstance(source, AsyncIterator):
            return _awaited(source)
        if isinstance(source, Iterator):
            name = getattr(self._function, "__name__", type(self._function).__name__)
            return _threaded(source, name)
        if asyncio.iscoroutine(source):
            source.close()
        raise TypeError(f"The function returned {type(source).__name__}, not a generator; does it yield?")


async def _awaited(source: AsyncIterator[Any]) -> AsyncGenerator[Batch, None]:
    async with aclosing(source) if isinstance(source, AsyncGenerator) else nullcontext():
        async for value in source:
            yield _items(value)


async def _threaded(source: Iterator[Any], name: str) -> AsyncGenerator[Batch, None]:
    handover = _Handover(asyncio.get_running_loop())
    threading.Thread(target=_iterate, args=(source, handover), name=f"generator {name}", daemon=True).start()
    try:
        while (batch := await handover.take()) is not None:
            yield batch
    finally:
        await handover.close(name)


def _iterate(source: Iterator[Any], handover: "_Handover") -> None:
    """Run in the thread: hand over what the function yields, until it ends or nobody wants more."""
    try:
        try:
            for value in source:
                if not handover.put(_items(value)):
                    break
        finally:
            close = getattr(source, "close", None)
            if close is not None:
                close()
    except BaseException as error:  # noqa: BLE001 - it is raised again, in the session's task.
        handover.end(error)
    else:
        handover.end(None)


class _Handover:
    """A bounded queue from one thread to one task that wakes the task once for all that has gathered.

    The task is woken only when it said that it waits, which it does on finding nothing: so the first item goes at
    once, and of a thousand rows in a row one wakes the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._items: deque[Item | None] = deque()
        self._room = threading.Condition()
        self._waiting = self._closed = self._ended = False
        self._error: BaseException | None = None
        self._wake = asyncio.Event()
        self._thread_ended = asyncio.Event()

    def put(self, items: Sequence[Item]) -> bool:
        """In the thread: wait for room, and hand over; False when nobody wants more."""
        with self._room:
            while len(self._items) >= _HANDOVER and not self._closed:
                self._room.wait()
            if self._closed:
                return False
            # An empty batch is a sign of life and has to arrive as one.
            self._items.extend(items or (None,))
            if self._waiting:
                self._waiting = False
                self._loop.call_soon_threadsafe(self._wake.set)
        return True

    def end(self, error: BaseException | None) -> None:
        """In the thread, last: there is no more, because of `error` if it is one."""
        with self._room:
            self._ended, self._error = True, error
            unseen = error if self._closed else None
        if unseen is not None:
            _logger.error("a generator failed after it was closed", exc_info=unseen)
        # The loop may be gone when a function was stuck for long.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._note_end)

    async def take(self) -> Batch | None:
        """All that has gathered, after waiting for something; None at the end."""
        while True:
            with self._room:
                gathered, ended = list(self._items), self._ended
                self._items.clear()
                self._room.notify()
                self._waiting = not gathered and not ended
                if self._waiting:
                    self._wake.clear()
            if gathered:
                if len(gathered) >= _HANDOVER:
                    # A thread that is faster than the session must not keep the loop to itself through it.
                    await asyncio.sleep(0)
                return [item for item in gathered if item is not None]
            if ended:
                self._raise_error()
                return None
            await self._wake.wait()

    async def close(self, name: str) -> None:
        """Want no more, and see the thread off if it ends in a moment."""
        with self._room:
            self._closed, self._waiting = True, False
            self._items.clear()
            self._room.notify()
        try:
            async with asyncio.timeout(_MOMENT_S):
                await self._thread_ended.wait()
        except TimeoutError:
            _logger.warning("the generator %s is still running; its thread ends at its next yield", name)

    def _note_end(self) -> None:
        self._thread_ended.set()
        self._wake.set()

    def _raise_error(self) -> None:
        # Let go of it: an exception that is held by what its own traceback holds is freed late.
        error, self._error = self._error, None
        if isinstance(error, Exception):
            raise error
        if error is not None:
            # `sys.exit` in a function is its failure, not the server's end.
            raise RuntimeError(f"The generator raised {type(error).__name__}.") from error


def _items(value: Any) -> Sequence[Item]:
    """What a yielded value is on the log; the empty sequence for a sign of life."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (Text(_clean(value)),)
    if isinstance(value, Usage | Ended):
        return (_frozen(value),)
    if not isinstance(value, Event):
        return (_frozen(Data("data", value)),)
    if PHASES.get(type(value)) != "content":
        raise TypeError(f"A generator yielded {type(value).__name__}, which only the server may say.")
    return (_frozen(value),)  # type: ignore[return-value]  # the table says that it is Content.


def _frozen(item: T) -> T:
    """A copy that shares nothing with the original and that every codec can encode."""
    try:
        try:
            raw = msgspec.json.encode(item)
        except UnicodeEncodeError:
            raw = _clean(json.dumps(msgspec.to_builtins(item), ensure_ascii=False)).encode()
        frozen = msgspec.json.decode(raw, type=type(item))
        # JSON has integers of any size, MessagePack does not.
        msgspec.msgpack.encode(frozen)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        value = item.value if isinstance(item, Data) else item
        raise TypeError(f"A generator yielded {type(value).__name__} that has no JSON form: {error}") from error
    return frozen


def _clean(text: str) -> str:
    """A plain `str` with U+FFFD for each lone surrogate; UTF-8 has no bytes for those."""
    if not text.isascii():
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return str.__str__(text)
