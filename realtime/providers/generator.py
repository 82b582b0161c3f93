"""Drives a function of the user's as a provider: an agent, a RAG chain, the rows of a query.

What the function yields becomes events:

    str                         Text
    Text, ToolCall, Data, …     itself
    Usage, Ended                itself; `Ended` is the last thing that is asked for
    None                        nothing but a sign of life, which holds off the idle deadline
    any other JSON value        Data("data", value)

Values are copied through JSON where they enter. So what the function does to them later changes nothing, and what no
client could be sent fails here, in the function's own log line, and not in an observer's connection.

An async generator runs in the session's task, a plain one in a thread of its own, where it may block.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Generator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, closing, nullcontext
from typing import Any, TypeVar

import msgspec

from ..errors import RealtimeError
from ..events import PHASES, Content, Data, Event, Text, Usage
from ..policy import Deadlines
from ..prompt import Prompt
from .base import Batch, Ended
from .handover import threaded
from .pulled import Pulled

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

    def open(self, prompt: Prompt, deadlines: Deadlines) -> Pulled:  # noqa: ARG002 - nothing to connect to.
        return Pulled(self._stream(prompt))

    async def models(self) -> Sequence[str]:
        return self._models

    async def close(self) -> None:
        return None

    async def _stream(self, prompt: Prompt) -> AsyncGenerator[Batch, None]:
        async with _contained(), aclosing(self._batches(prompt)) as batches:
            async for gathered in batches:
                batch = [item for item in gathered if item is not None]
                for at, item in enumerate(batch):
                    if isinstance(item, Ended):
                        yield batch[: at + 1]
                        return
                # An empty batch is passed on too: it is the sign of life.
                yield batch
        yield (Ended("stop"),)

    def _batches(self, prompt: Prompt) -> AsyncGenerator[Sequence[Item | None], None]:
        source: Any = self._function(prompt)
        if isinstance(source, AsyncIterator):
            return _awaited(source)
        if isinstance(source, Iterator):
            name = getattr(self._function, "__name__", type(self._function).__name__)
            return threaded(_translated(source), f"generator {name}")
        if asyncio.iscoroutine(source):
            source.close()
        raise TypeError(f"The function returned {type(source).__name__}, not a generator; does it yield?")


@asynccontextmanager
async def _contained() -> AsyncGenerator[None, None]:
    """asyncio lets these two out of a task and through the loop; in a generator they are its failure alone."""
    try:
        yield
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(f"The generator raised {type(error).__name__}.") from error


async def _awaited(source: AsyncIterator[Any]) -> AsyncGenerator[Sequence[Item | None], None]:
    async with aclosing(source) if isinstance(source, AsyncGenerator) else nullcontext():
        async for value in source:
            yield (_item(value),)


def _translated(source: Iterator[Any]) -> Generator[Item | None, None, None]:
    with closing(source) if isinstance(source, Generator) else nullcontext():
        for value in source:
            yield _item(value)


def _item(value: Any) -> Item | None:
    """What a yielded value is on the log; None for a sign of life."""
    if value is None:
        return None
    if isinstance(value, str):
        return Text(_clean(value))
    if isinstance(value, Usage | Ended):
        return _frozen(value)
    if not isinstance(value, Event):
        return _frozen(Data("data", value))
    if PHASES.get(type(value)) != "content":
        raise TypeError(f"A generator yielded {type(value).__name__}, which only the server may say.")
    return _frozen(value)  # type: ignore[return-value]  # the table says that it is Content.


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
