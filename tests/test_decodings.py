"""`micro` times what it says: each kind of event is a real one, means what its name says, and is held to its limits."""

import json
from typing import Any

import pytest
from anthropic.types import RawMessageStreamEvent
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from benchmarks.decoding import WIRES, decodings, table
from benchmarks.wires.chat import CHAT
from benchmarks.wires.kind import Wire
from benchmarks.wires.responses import RESPONSES
from realtime.events import Reasoning, Text, ToolArguments, ToolCall, Usage
from realtime.providers.base import Ended
from realtime.providers.event_stream import ServerEvent, Splitter
from realtime.providers.upstream import Item, Translator

ADAPTERS: dict[str, TypeAdapter[Any]] = {
    "Chat Completions": TypeAdapter(ChatCompletionChunk),
    "Messages": TypeAdapter(RawMessageStreamEvent),
    "Responses": TypeAdapter(ResponseStreamEvent),
}
# What becomes of an event of each kind.
MEANT: dict[str, list[type]] = {
    "content": [Text],
    "reasoning_content": [Reasoning],
    "tool_calls, arguments": [ToolArguments],
    "finish_reason": [],
    "usage": [Usage],
    "text_delta": [Text],
    "thinking_delta": [Reasoning],
    "input_json_delta": [ToolArguments],
    "content_block_start, text": [],
    "content_block_start, call": [ToolCall],
    "content_block_stop": [],
    "message_delta, usage": [Usage],
    "output_text.delta": [Text],
    "reasoning_summary_text.delta": [Reasoning],
    "function_call_arguments.delta": [ToolArguments],
    "output_item.added, message": [],
    "output_item.added, call": [ToolCall],
    "output_item.done, message": [Text],
    "output_item.done, call": [ToolCall, ToolArguments],
    "completed": [Usage],
}
KINDS = [pytest.param(wire, kind, id=f"{wire.name}, {kind}") for wire in WIRES for kind in wire.kinds]
SDK_US = 100.0


def test_every_kind_is_here() -> None:
    """None is timed whose meaning nobody has looked at."""
    assert [kind for wire in WIRES for kind in wire.kinds] == list(MEANT)


@pytest.mark.parametrize(("wire", "kind"), KINDS)
def test_the_sdk_finds_nothing_missing(wire: Wire, kind: str) -> None:
    """The SDK's types, by which its stream checks nothing, take events of each kind and those that lead to them."""
    events = [*wire.kinds[kind].lead, *map(wire.kinds[kind].nth, range(2))]
    for event in Splitter().feed(b"".join(events)):
        ADAPTERS[wire.name].validate_json(event.data)
        assert event.name.decode() == json.loads(event.data).get("type", "")


@pytest.mark.parametrize(("wire", "kind"), KINDS)
def test_a_kind_means_what_it_says(wire: Wire, kind: str) -> None:
    """Each of a few events of a kind is one whole read, and makes the same of its answer as the one before."""
    splitter, translator = Splitter(), wire.translator()
    for read in wire.kinds[kind].lead:
        _take(translator, splitter.feed(read))
    for n in range(3):
        (event,) = splitter.feed(wire.kinds[kind].nth(n))
        translator.done = False
        assert [type(item) for item in _take(translator, [event])] == MEANT[kind]
    assert not translator.unknown


def _take(translator: Translator, events: list[ServerEvent]) -> list[Item]:
    batch: list[Item] = []
    for event in events:
        translator.take(event, batch)
    return batch


@pytest.mark.parametrize(("wire", "kind"), KINDS)
def test_each_way_reads_every_event(wire: Wire, kind: str) -> None:
    """The SDK's objects are as many as the events, and nothing of ours ends the reading before the last of them."""
    reader = _Ending()
    steps = decodings(wire._replace(translator=lambda: reader), 4)[kind].steps
    assert [step() for step in steps.values()] == [4, 4, 4]
    assert reader.read == len(wire.kinds[kind].lead) + 4


class _Ending:
    """See `Translator`: takes every event for the last one."""

    def __init__(self) -> None:
        self.ended: Ended | None = None
        self.done = False
        self.read = 0
        self.unknown: dict[str, int] = {}

    def take(self, event: ServerEvent, batch: list[Item]) -> None:
        """See `Translator`."""
        self.read += not self.done
        self.done = True


@pytest.mark.parametrize(
    ("wire", "kind", "us", "passed"),
    [
        (CHAT, "reasoning_content", 4.9, [True, True]),
        (CHAT, "reasoning_content", 5.1, [False, True]),
        (CHAT, "usage", 99.0, [True, True]),
        (RESPONSES, "completed", 101.0, [True, False]),
    ],
)
def test_what_fails(wire: Wire, kind: str, us: float, passed: list[bool]) -> None:
    """A delta is held to 5 µs, and every kind to what the SDK costs."""
    compared = decodings(wire, 1)
    rounds = {name: [_round(us if name == kind else 1.0)] for name in compared}
    assert [check.passed for check in table(wire, compared, rounds).checks] == passed


def _round(ours_us: float) -> dict[str, float]:
    return {"SDK": SDK_US / 1e6, "json.loads": 1e-6, "ours": ours_us / 1e6}
