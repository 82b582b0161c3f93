"""What every provider owes its session, checked on each implementation.

To add one: write a context manager that gives a `Subject`, and name it in `IMPLEMENTATIONS`.
"""

import asyncio
import itertools
import sys
import threading
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import Any, NamedTuple

import msgspec
import pytest

from realtime.errors import RealtimeError
from realtime.events import PHASES, Content, Event, Usage
from realtime.policy import Deadlines
from realtime.prompt import Message, Prompt
from realtime.providers.anthropic import AnthropicProvider
from realtime.providers.anthropic_clouds import BedrockProvider, VertexProvider
from realtime.providers.base import Batch, Ended, Provider
from realtime.providers.demo import DemoProvider
from realtime.providers.generator import GeneratorProvider
from realtime.providers.openai import OpenAIProvider
from realtime.providers.openai_responses import OpenAIResponsesProvider
from tests.upstream import bedrock, chat, messages, responses
from tests.upstream.server import STALL, Exchange, Reply, Step, Upstream

from .heard import all_of


class Subject(NamedTuple):
    """A provider, and prompts that make it answer in full, for ever, and not at all."""

    provider: Provider
    complete: Prompt
    endless: Prompt
    silent: Prompt


def prompt(model: str = "default", **options: Any) -> Prompt:
    return Prompt(model, (Message("user", "Why do rivers bend?"),), options=options)


@asynccontextmanager
async def demo() -> AsyncIterator[Subject]:
    yield Subject(
        DemoProvider(),
        complete=prompt(rate=100_000, tokens=20),
        endless=prompt(rate=1000, tokens=200_000),
        silent=prompt(fault="stall", fault_after=0),
    )


async def answer(asked: Prompt) -> AsyncGenerator[Any, None]:
    """An agent of three kinds: one that ends, one that goes on, one that hangs."""
    if asked.model == "silent":
        await asyncio.Event().wait()
    for n in itertools.count() if asked.model == "endless" else range(20):
        await asyncio.sleep(0)
        yield f"{n} "
    yield Usage(input_tokens=4, output_tokens=20)


def blocking_answer(asked: Prompt) -> Iterator[Any]:
    """The same, without asyncio; what hangs shows signs of life, as a thread cannot be interrupted."""
    pause = threading.Event()
    while asked.model == "silent":
        pause.wait(0.001)
        yield None
    for n in itertools.count() if asked.model == "endless" else range(20):
        yield f"{n} "
    yield Usage(input_tokens=4, output_tokens=20)


@asynccontextmanager
async def generator(function: Callable[[Prompt], Any]) -> AsyncIterator[Subject]:
    models = ("complete", "endless", "silent")
    yield Subject(GeneratorProvider(function, models=models), *map(prompt, models))


@asynccontextmanager
async def upstream(scripts: Mapping[str, Sequence[Step]], made: Callable[[str], Provider]) -> AsyncIterator[Subject]:
    """A provider of a real wire, before a server that answers each of the three as scripted."""

    def reply(exchange: Exchange) -> Reply:
        if exchange.body is None:
            return Reply.json({"data": []})
        # The clouds have it in the path: `/model/<model>/invoke…`, `…/models/<model>:streamRawPredict`.
        return Reply(
            next(steps for model, steps in scripts.items() if model in (exchange.body.get("model") or exchange.path))
        )

    async with Upstream(reply) as server:
        subject = Subject(made(server.url), *map(prompt, scripts))
        # The SDK asks about its platform in a thread of the loop's pool, once, and the pool keeps the thread.
        await read(subject.provider, subject.complete)
        yield subject


def endless_of(said: Sequence[bytes]) -> list[Step]:
    """The last of these events again and again, for longer than any test reads."""
    return [*said, *[said[-1]] * 100_000, STALL]


OPENAI: dict[str, Sequence[Step]] = {
    "complete": chat.text("some ", "words"),
    "endless": endless_of(chat.text("more ", finish=None)),
    "silent": [STALL],
}
ANTHROPIC: dict[str, Sequence[Step]] = {
    "complete": messages.text("some ", "words"),
    "endless": endless_of(messages.text("more ", whole=False)),
    "silent": [STALL],
}
BEDROCK: dict[str, Sequence[Step]] = {
    "complete": bedrock.framed(messages.text("some ", "words")),
    "endless": endless_of(bedrock.framed(messages.text("more ", whole=False))),
    "silent": [STALL],
}
RESPONSES: dict[str, Sequence[Step]] = {
    "complete": responses.text("some ", "words"),
    "endless": endless_of(responses.text("more ")[:5]),
    "silent": [STALL],
}

IMPLEMENTATIONS: dict[str, Callable[[], AbstractAsyncContextManager[Subject]]] = {
    "demo": demo,
    "async generator": partial(generator, answer),
    "plain generator": partial(generator, blocking_answer),
    "openai": partial(upstream, OPENAI, lambda url: OpenAIProvider("key", url)),
    "anthropic": partial(upstream, ANTHROPIC, lambda url: AnthropicProvider("key", url)),
    "bedrock": partial(upstream, BEDROCK, lambda url: BedrockProvider("key", "eu-west-1", url)),
    "vertex": partial(upstream, ANTHROPIC, lambda url: VertexProvider("token", "eu", "ours", url)),
    "responses": partial(upstream, RESPONSES, lambda url: OpenAIResponsesProvider("key", url)),
    "background": partial(upstream, RESPONSES, lambda url: OpenAIResponsesProvider("key", url, background=True)),
}


@pytest.fixture(params=IMPLEMENTATIONS)
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    async with IMPLEMENTATIONS[request.param]() as made:
        yield made
        await made.provider.close()


async def read(provider: Provider, asked: Prompt) -> list[Content | Usage | Ended]:
    async with provider.open(asked, Deadlines()) as stream:
        return [item for batch in await all_of(stream) for item in batch]


def running_tasks() -> set[asyncio.Task[Any]]:
    """All tasks but those of the scripted server, which notices a moment later that its client has gone."""
    return {
        task
        for task in asyncio.all_tasks()
        if not getattr(task.get_coro(), "__qualname__", "").startswith(("_Conn", "BaseSelectorEventLoop._accept"))
    }


def is_open(made: Any) -> bool:
    """Whether an async generator still waits to be closed. Those of the SDKs do not count: they are out of reach."""
    return made.ag_frame is not None and "site-packages" not in made.ag_code.co_filename


@contextmanager
def nothing_left() -> Iterator[None]:
    """Assert that no task, thread or open async generator outlives the block."""
    tasks, threads, hooks = running_tasks(), set(threading.enumerate()), sys.get_asyncgen_hooks()
    born: list[AsyncGenerator[Any, Any]] = []

    def note(made: AsyncGenerator[Any, Any]) -> None:
        # Held here, so none of them is closed by the collector instead of by its owner.
        born.append(made)
        if hooks.firstiter is not None:
            hooks.firstiter(made)

    sys.set_asyncgen_hooks(firstiter=note, finalizer=hooks.finalizer)
    try:
        yield
    finally:
        sys.set_asyncgen_hooks(*hooks)
    assert running_tasks() == tasks
    assert [made for made in born if is_open(made)] == []
    for thread in set(threading.enumerate()) - threads:
        # It has said that it is done; the interpreter may need a moment to agree.
        thread.join(5)
        assert not thread.is_alive()


class CancelAt(Awaitable[None]):
    """Runs a coroutine and cancels its task at the given suspension; `suspensions` counts those there were."""

    def __init__(self, coro: Coroutine[Any, Any, Any], at: int) -> None:
        self._coro = coro
        self._at = at
        self.suspensions = 0

    def __await__(self) -> Generator[Any, Any, None]:
        resume = partial(self._coro.send, None)
        while True:
            try:
                future = resume()
            except StopIteration:
                return
            task = asyncio.current_task()
            if self.suspensions == self._at and task is not None:
                task.cancel()
            self.suspensions += 1
            try:
                yield future
                resume = partial(self._coro.send, None)
            except BaseException as error:  # noqa: BLE001 - it is thrown on at once, where the coroutine waits.
                resume = partial(self._coro.throw, error)


async def test_a_complete_stream_ends_with_its_one_terminal_item(subject: Subject) -> None:
    """`Ended` is there once, last, after nothing but content and usage."""
    with nothing_left():
        items = await read(subject.provider, subject.complete)
    assert isinstance(items.pop(), Ended)
    assert any(isinstance(item, Event) for item in items)
    assert all(isinstance(item, Usage) or PHASES[type(item)] == "content" for item in items)  # type: ignore[index]


async def test_the_last_usage_is_not_an_estimate(subject: Subject) -> None:
    """A stream that was read to its end has said what it cost."""
    items = await read(subject.provider, subject.complete)
    usages = [item for item in items if isinstance(item, Usage)]
    assert usages
    assert not usages[-1].estimated


async def test_streams_of_one_provider_do_not_meet(subject: Subject) -> None:
    """Several at once say what one says alone."""
    alone = await read(subject.provider, subject.complete)
    for items in await asyncio.gather(*(read(subject.provider, subject.complete) for _ in range(3))):
        assert _joined(items) == _joined(alone)


async def test_a_stream_that_is_opened_and_not_read_leaves_nothing(subject: Subject) -> None:
    """Leaving the context before the first batch is as clean as after the last."""
    with nothing_left():
        async with asyncio.timeout(1), subject.provider.open(subject.endless, Deadlines()):
            pass


async def test_a_stream_that_is_never_entered_leaves_nothing(subject: Subject) -> None:
    """Nothing runs for a context that is made and dropped."""
    with nothing_left():
        subject.provider.open(subject.endless, Deadlines())


@pytest.mark.parametrize("contents", [1, 50])
async def test_a_stream_can_be_left_in_the_middle(subject: Subject, contents: int) -> None:
    """Leaving at a batch closes everything below it within a second."""
    with nothing_left():
        seen = 0

        def take(batch: Batch) -> None:
            nonlocal seen
            seen += sum(isinstance(item, Event) for item in batch)
            assert seen < contents, "enough"

        async with AsyncExitStack() as stack:
            stream = await stack.enter_async_context(subject.provider.open(subject.endless, Deadlines()))
            with pytest.raises(AssertionError, match="enough"):
                await stream.run(take)
            async with asyncio.timeout(1):
                await stack.aclose()


async def test_an_error_in_the_reader_closes_the_stream(subject: Subject) -> None:
    """The reader's exception comes through as it was."""
    with nothing_left(), pytest.raises(ZeroDivisionError):
        async with subject.provider.open(subject.endless, Deadlines()) as stream:
            await stream.run(lambda batch: len(batch) / 0)  # type: ignore[arg-type, return-value]  # nor will it


async def test_nothing_is_given_while_the_reader_waits(subject: Subject) -> None:
    """What `take` returns is awaited before the next batch; in the end nothing is missing."""
    batches: list[Batch] = []
    waiting = 0

    def take(batch: Batch) -> Awaitable[None]:
        assert not waiting
        batches.append(batch)
        return wait()

    async def wait() -> None:
        nonlocal waiting
        waiting += 1
        for _ in range(3):
            await asyncio.sleep(0)
        waiting -= 1

    with nothing_left():
        async with subject.provider.open(subject.complete, Deadlines()) as stream:
            await stream.run(take)
        said = [item for batch in batches for item in batch]
        assert _joined(said) == _joined(await read(subject.provider, subject.complete))
    assert isinstance(said[-1], Ended)


async def test_a_silent_stream_can_be_cancelled(subject: Subject) -> None:
    """No content comes, the reader waits, and a cancellation ends it within a second."""
    with nothing_left():
        task = asyncio.create_task(read(subject.provider, subject.silent))
        done, _ = await asyncio.wait({task}, timeout=0.1)
        assert not done
        task.cancel()
        async with asyncio.timeout(1):
            await asyncio.wait({task})
        assert task.cancelled()


async def test_a_reader_can_be_cancelled_at_each_await(subject: Subject) -> None:
    """Wherever the reader waits, a cancellation there comes out as one and leaves nothing."""
    for at in itertools.count():
        with nothing_left():
            reading = CancelAt(read(subject.provider, subject.complete), at)
            task = asyncio.ensure_future(reading)
            await asyncio.wait({task})
        if reading.suspensions <= at:
            assert not task.cancelled()
            return
        assert task.cancelled()


async def test_an_unknown_option_is_refused_by_name(subject: Subject) -> None:
    """`check` says which option it does not know, before anything is started."""
    options = subject.complete.options | {"no_such_option": 1}
    with pytest.raises(RealtimeError) as caught:
        subject.provider.check(msgspec.structs.replace(subject.complete, options=options))
    assert caught.value.code == "bad_request"
    assert caught.value.error.field == "options.no_such_option"


async def test_a_sound_prompt_passes_the_check(subject: Subject) -> None:
    """`check` has nothing to say about what `open` honours."""
    for asked in (subject.complete, subject.endless, subject.silent):
        subject.provider.check(asked)


async def test_closing_twice_is_closing_once(subject: Subject) -> None:
    """`close` is idempotent, and models can be named before it."""
    assert all(isinstance(name, str) for name in await subject.provider.models())
    await subject.provider.close()
    await subject.provider.close()


def _joined(batch: Batch) -> list[tuple[str, str]]:
    """The text of each kind of delta: how a stream is cut into pieces is no part of what it says."""
    kinds = itertools.groupby((item for item in batch if isinstance(item, Event)), key=lambda item: type(item).__name__)
    return [(kind, "".join(getattr(item, "text", "") for item in items)) for kind, items in kinds]
