"""A provider without a network: pleasant text at a natural pace, and every fault a real one can have, on request.

It is what `realtime serve` offers out of the box and what tests and benchmarks drive. The same prompt, options and
seed always give the same events; only the clock decides how they are batched.
"""

import asyncio
import random
import zlib
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from itertools import islice, takewhile
from typing import Annotated, Literal

import msgspec
from msgspec import Meta as Limit

from .. import strict
from ..errors import RealtimeError
from ..events import Content, Reasoning, Refusal, Text, ToolArguments, ToolCall, Usage
from ..policy import Deadlines
from ..prompt import Message, NamedTool, Prompt, TextPart, Tool
from . import demo_text
from .base import Batch, Ended
from .pulled import Pulled

MODELS = ("default", "reasoning", "tools", "json")

_DOCUMENT_TOKENS = 150
_MOST_REASONING = 400
# A batch is at most this long, so a demo at full speed still lets the rest of the server run.
_BATCH = 256
# Share of the interval between two tokens that the seed moves them by; below 1 they stay in order.
_JITTER = 0.8
_FOR_EVER_S = 366 * 86_400
_WEATHER = Tool(
    name="get_weather",
    description="The weather of the next days.",
    parameters={"properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "wind": {"type": "boolean"}}},
)

Item = Content | Ended
Fault = Literal["stall", "error", "truncate", "garbage", "slow_start", "refuse"]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`Prompt.options` of this provider.

    Attributes:
        rate: Deltas a second.
        tokens: Pieces of text to send; reasoning and tool arguments come on top, and JSON is always completed.
        seed: Picks the words and the rhythm; made from the prompt when not given.
        text: Sent instead of the demo's own words.
        reasoning: Whether to think first; by default the model name decides, as for `tools`.
        fault: What goes wrong. `slow_start` is before the first token whatever `fault_after` says.
        fault_after: Tokens before it does; at the end of the answer at the latest.
    """

    rate: Annotated[float, Limit(ge=0.1, le=100_000)] = 40.0
    tokens: Annotated[int, Limit(ge=1, le=200_000)] | None = None
    seed: int | None = None
    text: Annotated[str, Limit(min_length=1, max_length=200_000)] | None = None
    reasoning: bool | None = None
    tools: bool | None = None
    fault: Fault | None = None
    fault_after: Annotated[int, Limit(ge=0, le=200_000)] = 10


class _Body(msgspec.Struct, frozen=True):
    """Gives a refusal the path a caller knows: `options.rate`."""

    options: Options


class DemoProvider:
    """See `Provider` and, for what can be asked of it, `Options`.

    Args:
        slow_start_s: Silence of the `slow_start` fault.
    """

    def __init__(self, *, slow_start_s: float = 5.0) -> None:
        self._slow_start_s = slow_start_s

    def check(self, prompt: Prompt) -> None:
        _options(prompt)
        if prompt.model not in MODELS:
            raise RealtimeError("bad_request", f"The demo has the models {', '.join(MODELS)}.", field="model")
        if prompt.response_format is not None and prompt.response_format.schema is not None:
            field = "response_format.schema"
            raise RealtimeError("bad_request", "The demo makes JSON of a form of its own.", field=field)
        if prompt.provider_tools:
            raise RealtimeError("bad_request", "The demo runs no tools itself.", field="provider_tools[0]")
        choice = prompt.tool_choice
        if isinstance(choice, NamedTool) and all(tool.name != choice.name for tool in prompt.tools):
            raise RealtimeError("bad_request", "tool_choice names none of the tools.", field="tool_choice.name")

    def open(self, prompt: Prompt, deadlines: Deadlines) -> Pulled:  # noqa: ARG002 - nothing to connect to.
        return Pulled(self._stream(prompt, _options(prompt)))

    async def models(self) -> Sequence[str]:
        return MODELS

    async def close(self) -> None:
        return None

    async def _stream(self, prompt: Prompt, options: Options) -> AsyncGenerator[Batch, None]:
        given = _words(prompt)
        yield (Usage(input_tokens=given, estimated=True),)
        if options.fault == "slow_start":
            await asyncio.sleep(self._slow_start_s)
        seed = zlib.crc32(repr(prompt.messages).encode()) if options.seed is None else options.seed
        rng, rhythm = random.Random(seed), random.Random(seed)  # noqa: S311 - a seed is to give one text.
        script = _with_fault(_answer(prompt, options, rng), options)
        sent = reasoned = 0
        async with aclosing(_paced(script, options.rate, rhythm)) as batches:
            async for batch in batches:
                ended = batch.pop() if isinstance(batch[-1], Ended) else None
                sent += len(batch)
                reasoned += sum(isinstance(item, Reasoning) for item in batch)
                if ended is None:
                    yield batch
                else:
                    usage = Usage(input_tokens=given, output_tokens=sent, reasoning_tokens=reasoned or None)
                    yield [*batch, usage, ended]
                    return
        await _fail(options.fault)


async def _paced(script: Iterator[Item], rate: float, rhythm: random.Random) -> AsyncGenerator[list[Item], None]:
    """Send each item when it is due, counted from the start: sleeps that run over do not add up.

    What is due by now goes as one batch, so being late costs one wake-up and not one for each item.
    """
    clock = asyncio.get_running_loop().time
    start = clock()
    batch: list[Item] = []
    for n, item in enumerate(script):
        due = start + (n + rhythm.random() * _JITTER) / rate
        if due > clock() or len(batch) == _BATCH:
            if batch:
                yield batch
                batch = []
            await asyncio.sleep(max(due - clock(), 0.0))
        batch.append(item)
    if batch:
        yield batch


def _answer(prompt: Prompt, options: Options, rng: random.Random) -> Iterator[Item]:
    """All that would be said, `Ended` last, within what the prompt allows."""
    script = _script(prompt, options, rng)
    if prompt.stop:
        script = _until_stop(script, prompt.stop)
    if prompt.max_tokens is not None:
        script = _until_length(script, prompt.max_tokens)
    return script


def _script(prompt: Prompt, options: Options, rng: random.Random) -> Iterator[Item]:
    about = demo_text.words_of(_asked(prompt))
    if options.reasoning or (options.reasoning is None and prompt.model == "reasoning"):
        count = None if options.tokens is None else min(options.tokens // 3 + 1, _MOST_REASONING)
        for piece in demo_text.cut(demo_text.musings(rng, about), count, sentences=3):
            yield Reasoning(piece)
    for piece in _said(prompt, options, rng, about):
        yield Text(piece)
    tool = _tool(prompt, options)
    if tool is None:
        yield Ended("stop")
        return
    call = f"call_{rng.getrandbits(48):012x}"
    yield ToolCall(call, tool.name)
    for piece in demo_text.pieces([demo_text.arguments(tool.parameters, about)]):
        yield ToolArguments(piece, call=call)
    yield Ended("tool_calls")


def _said(prompt: Prompt, options: Options, rng: random.Random, about: list[str]) -> Iterator[str]:
    if options.text is not None:
        return islice(demo_text.pieces([options.text]), options.tokens)
    if prompt.model == "json" or prompt.response_format is not None:
        return demo_text.document(rng, about, options.tokens or _DOCUMENT_TOKENS)
    return demo_text.cut(demo_text.prose(rng, about), options.tokens, sentences=12)


def _tool(prompt: Prompt, options: Options) -> Tool | None:
    """The tool to call. None once a result has come back, so that an agent's loop around the demo ends."""
    choice = prompt.tool_choice
    if isinstance(choice, NamedTool):
        return next(tool for tool in prompt.tools if tool.name == choice.name)
    wanted = prompt.model == "tools" if options.tools is None else options.tools
    answered = prompt.messages[-1].role == "tool"
    if choice == "none" or (choice != "required" and (answered or not wanted)):
        return None
    return prompt.tools[0] if prompt.tools else _WEATHER


def _until_length(script: Iterator[Item], most: int) -> Iterator[Item]:
    for n, item in enumerate(script):
        if n == most and not isinstance(item, Ended):
            yield Ended("length")
            return
        yield item


def _until_stop(script: Iterator[Item], stops: Sequence[str]) -> Iterator[Item]:
    """End before the first stop sequence, and hold back text that may turn out to be the beginning of one."""
    held = ""
    for item in script:
        if not isinstance(item, Text):
            if held:
                yield Text(held)
                held = ""
            yield item
            continue
        seen = held + item.text
        # Of several, the first to be complete counts: the one a reader of single characters would see.
        _, at = min(((seen.find(stop) + len(stop), seen.find(stop)) for stop in stops if stop in seen), default=(0, -1))
        safe = at if at >= 0 else min(_possible_start(seen, stop) for stop in stops)
        if safe:
            yield Text(seen[:safe])
        if at >= 0:
            yield Ended("stop")
            return
        held = seen[safe:]


def _possible_start(seen: str, stop: str) -> int:
    """Where the first beginning of `stop` is that `seen` ends with; the length of `seen` when there is none."""
    at = seen.find(stop[0], max(len(seen) - len(stop) + 1, 0))
    while at >= 0 and not stop.startswith(seen[at:]):
        at = seen.find(stop[0], at + 1)
    return at if at >= 0 else len(seen)


def _with_fault(script: Iterator[Item], options: Options) -> Iterator[Item]:
    """The script up to the fault. A refusal is a script too; what the others do is in `_fail`."""
    if options.fault is None or options.fault == "slow_start":
        yield from script
        return
    yield from islice(takewhile(lambda item: not isinstance(item, Ended), script), options.fault_after)
    if options.fault == "refuse":
        for piece in demo_text.refusal():
            yield Refusal(piece)
        yield Ended("refusal")


async def _fail(fault: Fault | None) -> None:
    match fault:
        case "error":
            raise RealtimeError("upstream_overloaded")
        case "garbage":
            raise RealtimeError("upstream_protocol")
        case "stall":
            # The loop holds a sleeping task by its timer; one that waits on a future of nobody's may be collected.
            await asyncio.sleep(_FOR_EVER_S)
        case _:
            return


def _options(prompt: Prompt) -> Options:
    return strict.convert({"options": prompt.options}, _Body).options


def _words(prompt: Prompt) -> int:
    return len((prompt.system or "").split()) + sum(len(_plain(message).split()) for message in prompt.messages)


def _asked(prompt: Prompt) -> str:
    return next((_plain(message) for message in reversed(prompt.messages) if message.role == "user"), "")


def _plain(message: Message) -> str:
    if isinstance(message.content, str):
        return message.content
    return " ".join(part.text for part in message.content if isinstance(part, TextPart))
