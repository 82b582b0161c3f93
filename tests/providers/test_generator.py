"""The generator provider: what yields become, where the function runs, and how it is ended."""

import asyncio
import datetime
import threading
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest

from realtime.errors import RealtimeError
from realtime.events import Attempt, Data, Reasoning, Source, Text, ToolCall, ToolResult, Usage
from realtime.policy import Deadlines
from realtime.prompt import Message, Prompt
from realtime.providers.base import Batch, Ended
from realtime.providers.generator import GeneratorProvider

from .heard import all_of, first

PROMPT = Prompt("default", (Message("user", "hello"),))
SURROGATE = "\ud800"

Made = Callable[[Any], Any]


def plain(values: Any) -> Callable[[Prompt], Iterator[Any]]:
    """A plain generator function of these values."""

    def function(_prompt: Prompt) -> Iterator[Any]:
        yield from values

    return function


def awaiting(values: Any) -> Callable[[Prompt], AsyncIterator[Any]]:
    """An async generator function of these values."""

    async def function(_prompt: Prompt) -> AsyncIterator[Any]:
        for value in values:
            await asyncio.sleep(0)
            yield value

    return function


@pytest.fixture(params=[plain, awaiting])
def made(request: pytest.FixtureRequest) -> Made:
    """Makes a function of either kind."""
    kind: Made = request.param
    return kind


async def batches(function: Any) -> list[Batch]:
    async with GeneratorProvider(function).open(PROMPT, Deadlines()) as stream:
        return await all_of(stream)


async def items(function: Any) -> list[Any]:
    return [item for batch in await batches(function) for item in batch]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("héllo", Text("héllo")),
        ("", Text("")),
        (Text("a", part=1), Text("a", part=1)),
        (Reasoning("because"), Reasoning("because")),
        (ToolCall("c1", "look"), ToolCall("c1", "look")),
        (ToolResult("c1", {"ok": (1, 2)}), ToolResult("c1", {"ok": [1, 2]})),
        (Source(url="https://example.org"), Source(url="https://example.org")),
        (Data("row", [1]), Data("row", [1])),
        (Usage(input_tokens=3), Usage(input_tokens=3)),
        ({"id": 1}, Data("data", {"id": 1})),
        ([1, None], Data("data", [1, None])),
        ((1, 2), Data("data", [1, 2])),
        (3.5, Data("data", 3.5)),
        (False, Data("data", False)),
        (datetime.date(2030, 1, 2), Data("data", "2030-01-02")),
        (SURROGATE, Text("\ufffd")),
        ("\ud83d\ude00", Text("😀")),
        ({SURROGATE: ["é" + SURROGATE]}, Data("data", {"\ufffd": ["é\ufffd"]})),
        (Text(SURROGATE), Text("\ufffd")),
    ],
)
async def test_what_a_yield_becomes(made: Made, value: Any, expected: Any) -> None:
    """Text, events, usage and JSON each have their form; the end is a plain stop."""
    assert await items(made([value])) == [expected, Ended("stop")]


async def test_a_subclass_of_str_becomes_plain_text() -> None:
    """A template engine's safe string is text like any other, whatever it prints as."""

    class Markup(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "printed"

    (text, _) = await items(plain([Markup("said")]))
    assert type(text.text) is str
    assert text.text == "said"


async def test_none_is_a_sign_of_life(made: Made) -> None:
    """It reaches the session as an empty batch and shows nothing to anyone."""
    assert await batches(made([None])) == [(), (Ended("stop"),)] or await batches(made([None])) == [
        [],
        (Ended("stop"),),
    ]


async def test_a_value_is_as_it_was_when_it_was_yielded(made: Made) -> None:
    """A function that goes on using its dict changes nothing that it has said."""
    row = {"n": 0, "below": {"n": 0}}

    def rows() -> Iterator[dict[str, Any]]:
        for n in range(3):
            row.update(n=n, below={"n": n})
            yield row

    said = (await items(made(rows())))[:-1]
    row["below"] = {"n": "changed"}
    assert [(item.value["n"], item.value["below"]["n"]) for item in said] == [(0, 0), (1, 1), (2, 2)]


@pytest.mark.parametrize("value", [object(), {(1, 2): 3}, 1j, 2**70, Text(1), Data("x", {"y": object()})])  # type: ignore[arg-type]
async def test_what_has_no_json_form_fails_at_the_yield(made: Made, value: Any) -> None:
    """The error names the type, and what was yielded before has arrived."""
    inner = value.value if isinstance(value, Data) else value
    with pytest.raises(TypeError, match=f"{type(inner).__name__} that has no JSON form"):
        await items(made(["before", value]))


async def test_what_is_nested_without_end_fails_at_the_yield(made: Made) -> None:
    """A value that holds itself is refused like any that has no JSON form."""
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(TypeError, match="list that has no JSON form"):
        await items(made([loop]))


async def test_only_the_server_says_how_a_generation_begins(made: Made) -> None:
    """Events that are not content are refused by name."""
    with pytest.raises(TypeError, match="yielded Attempt"):
        await items(made([Attempt(1, "p", "m")]))


async def test_ended_is_the_last_word(made: Made) -> None:
    """What comes after it is never asked for, or never passed on."""
    said = await items(made(["a", Ended("length", "enough"), "b"]))
    assert said == [Text("a"), Ended("length", "enough")]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ZeroDivisionError("by user code"), ZeroDivisionError),
        (RealtimeError("upstream_overloaded"), RealtimeError),
        (TimeoutError(), TimeoutError),
    ],
)
async def test_an_error_of_the_function_comes_through(made: Made, error: Exception, expected: type[Exception]) -> None:
    """The very exception is raised, after what was said before it."""

    def failing() -> Iterator[str]:
        yield "before"
        raise error

    async with GeneratorProvider(made(failing())).open(PROMPT, Deadlines()) as stream:
        said: list[Batch] = []
        with pytest.raises(expected) as caught:
            await stream.run(said.append)
    assert [list(batch) for batch in said] == [[Text("before")]]
    assert caught.value is error


@pytest.mark.parametrize("exit_", [SystemExit(3), KeyboardInterrupt()])
@pytest.mark.parametrize("closing", [False, True], ids=["while it runs", "while it is closed"])
async def test_an_exit_of_the_function_is_its_failure_alone(exit_: BaseException, closing: bool) -> None:
    """`sys.exit` and KeyboardInterrupt, which asyncio lets through its loop, are failures of the generator."""

    async def function(_prompt: Prompt) -> AsyncIterator[str]:
        try:
            yield "a"
            if not closing:
                raise exit_
            yield "b"
        finally:
            if closing:
                raise exit_

    async def listen() -> None:
        async with GeneratorProvider(function).open(PROMPT, Deadlines()) as stream:
            await first(stream, 1 if closing else 2)

    with pytest.raises(RuntimeError, match=type(exit_).__name__):
        await asyncio.create_task(listen())


@pytest.mark.parametrize("returned", [["a"], "text", None])
async def test_a_function_that_does_not_generate_is_refused(returned: Any) -> None:
    """A list or a string is a mistake: the error says what came instead of a generator."""
    with pytest.raises(TypeError, match=f"returned {type(returned).__name__}, not a generator"):
        await items(lambda _prompt: returned)


async def test_a_coroutine_function_is_refused() -> None:
    """An `async def` that forgot to yield is named, and not left un-awaited."""

    async def forgot(_prompt: Prompt) -> str:
        return "text"

    with pytest.raises(TypeError, match="returned coroutine"):
        await items(forgot)


@pytest.mark.parametrize(
    ("prompt", "field"),
    [
        (Prompt("other", PROMPT.messages), "model"),
        (Prompt("default", PROMPT.messages, options={"depth": 2, "width": 3}), "options.width"),
    ],
)
def test_what_the_function_does_not_know_is_refused_by_name(prompt: Prompt, field: str) -> None:
    """Models and options are those the provider was made with."""
    with pytest.raises(RealtimeError) as caught:
        GeneratorProvider(plain([]), options=["depth"]).check(prompt)
    assert caught.value.error.field == field


async def test_the_function_gets_the_prompt_and_models_are_named() -> None:
    """Any callable that gives a generator will do, and it sees the whole request."""
    seen: list[Prompt] = []

    def function(prompt: Prompt) -> Iterator[str]:
        seen.append(prompt)
        yield prompt.model

    provider = GeneratorProvider(partial(function), models=["small", "large"])
    assert await provider.models() == ("small", "large")
    async with provider.open(Prompt("large", PROMPT.messages), Deadlines()) as stream:
        assert list((await first(stream))[0]) == [Text("large")]
    assert [prompt.model for prompt in seen] == ["large"]


async def test_an_async_iterator_need_not_be_a_generator() -> None:
    """An object with `__anext__` alone is driven too; there is nothing to close."""

    class Countdown:
        left = 2

        def __aiter__(self) -> "Countdown":
            return self

        async def __anext__(self) -> str:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return str(self.left)

    assert await items(lambda _prompt: Countdown()) == [Text("1"), Text("0"), Ended("stop")]


async def test_an_async_generator_runs_and_is_closed_in_the_readers_task() -> None:
    """Its `finally` has run, and awaited, by the time the context is left."""
    tasks: list[Any] = []

    async def function(_prompt: Prompt) -> AsyncGenerator[str, None]:
        tasks.append(asyncio.current_task())
        try:
            while True:
                yield "more"
        finally:
            await asyncio.sleep(0)
            tasks.append(asyncio.current_task())

    async with GeneratorProvider(function).open(PROMPT, Deadlines()) as stream:
        await first(stream)
    assert tasks == [asyncio.current_task()] * 2


async def test_a_cancellation_reaches_an_async_generator_where_it_waits() -> None:
    """The function sees it at its own await, and can clean up there."""
    waiting, seen = asyncio.Event(), asyncio.Event()

    async def function(_prompt: Prompt) -> AsyncGenerator[str, None]:
        yield "first"
        try:
            waiting.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.set()
            raise

    task = asyncio.create_task(items(function))
    await waiting.wait()
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert seen.is_set()


async def test_a_plain_generator_has_a_thread_of_its_own() -> None:
    """It runs and is closed in one daemon thread, which bears its name."""
    threads: list[threading.Thread] = []

    def numbers(_prompt: Prompt) -> Iterator[str]:
        threads.append(threading.current_thread())
        try:
            while True:
                yield "more"
        finally:
            threads.append(threading.current_thread())

    async with GeneratorProvider(numbers).open(PROMPT, Deadlines()) as stream:
        await first(stream)
    assert len(threads) == 2
    assert threads[0] is threads[1] is not threading.current_thread()
    assert threads[0].name == "generator numbers"


async def test_a_plain_iterator_need_not_be_a_generator() -> None:
    """The rows of a cursor are driven as they are; there is nothing to close."""
    assert await items(lambda _prompt: map(str, range(2))) == [Text("0"), Text("1"), Ended("stop")]


async def test_many_rows_take_no_memory() -> None:
    """What was read is forgotten, whatever came before it."""
    count = 0

    def take(batch: Batch) -> None:
        nonlocal count
        count += len(batch)

    tracemalloc.start()
    try:
        async with GeneratorProvider(plain({"id": n} for n in range(30_000))).open(PROMPT, Deadlines()) as stream:
            await stream.run(take)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
    assert count == 30_001
