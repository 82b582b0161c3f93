"""The demo provider: what it says, how fast, and how it fails."""

import asyncio
import itertools
import json
import selectors
import tracemalloc
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.errors import RealtimeError
from realtime.events import Content, Event, Reasoning, Refusal, Text, ToolArguments, ToolCall, Usage
from realtime.policy import Deadlines
from realtime.prompt import JsonFormat, Message, NamedTool, Prompt, TextPart, Tool
from realtime.providers.base import Batch, Ended
from realtime.providers.demo import MODELS, DemoProvider

QUESTION = (Message("user", "Why do rivers bend?"),)
FAULT_ERRORS = {"error": "upstream_overloaded", "garbage": "upstream_protocol"}
RESULT = Message("tool", "Sunny.", call="call_1")


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer instead of waiting for it, and past it by `late_s`."""

    def __init__(self, late_s: float = 0.0) -> None:
        self.now = 0.0
        super().__init__(_JumpingSelector(self, late_s))

    def time(self) -> float:
        return self.now


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: JumpingLoop, late_s: float) -> None:
        super().__init__()
        self._loop = loop
        self._late_s = late_s

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout:
            self._loop.now += timeout + self._late_s
            timeout = 0
        return super().select(timeout)


class Heard:
    """All that one stream said, the moment of each batch, and the error that ended it."""

    def __init__(self) -> None:
        self.batches: list[tuple[float, Batch]] = []
        self.error: Exception | None = None

    @property
    def items(self) -> list[Content | Usage | Ended]:
        return [item for _, batch in self.batches for item in batch]

    @property
    def contents(self) -> list[Event]:
        return [item for item in self.items if isinstance(item, Event)]

    @property
    def ended(self) -> Ended | None:
        last = self.items[-1]
        return last if isinstance(last, Ended) else None

    def text(self, kind: type[Event] = Text) -> str:
        return "".join(getattr(item, "text", "") for item in self.contents if type(item) is kind)


def hear(
    model: str = "default", options: Mapping[str, Any] | None = None, *, late_s: float = 0.0, **more: Any
) -> Heard:
    """Drive a stream to its end, in no time; `timeout_total` stands for the session's own deadline."""
    asked = Prompt(model, more.pop("messages", QUESTION), options=dict(options or {}), **more)
    heard = Heard()

    async def listen() -> None:
        provider = DemoProvider()
        provider.check(asked)
        try:
            async with asyncio.timeout(20_000), provider.open(asked, Deadlines()) as stream:
                await stream.run(lambda batch: heard.batches.append((asyncio.get_running_loop().time(), tuple(batch))))
        except (RealtimeError, TimeoutError) as error:
            heard.error = error

    with asyncio.Runner(loop_factory=lambda: JumpingLoop(late_s)) as runner:
        runner.run(listen())
    return heard


def refusal(model: str = "default", options: Mapping[str, Any] | None = None, **more: Any) -> RealtimeError:
    with pytest.raises(RealtimeError) as caught:
        DemoProvider().check(Prompt(model, QUESTION, options=dict(options or {}), **more))
    assert caught.value.code == "bad_request"
    return caught.value


@pytest.mark.parametrize("model", MODELS)
def test_a_seed_is_an_answer(model: str) -> None:
    """The same seed gives the same events, and another seed others."""
    first, again, other = (hear(model, {"seed": seed}).contents for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_without_a_seed_the_prompt_is_the_seed() -> None:
    """A prompt is answered alike each time, and not like another prompt."""
    assert hear().text() == hear().text()
    assert hear().text() != hear(messages=(Message("user", "Why do rivers end?"),)).text()


def test_the_answer_quotes_the_prompt_and_leaves_ascii() -> None:
    """It reads as an answer to what was asked, and exercises unicode on the way."""
    text = hear(options={"tokens": 2000}).text()
    assert "“Why do rivers bend”" in text
    assert any(ord(sign) > 0xFFFF for sign in text)


def test_content_parts_are_read_like_plain_text() -> None:
    """A message of parts is counted and quoted by its text."""
    heard = hear(messages=(Message("user", (TextPart("Why rivers"), TextPart("bend?"))),), system="Be brief.")
    assert "Why rivers bend" in heard.text()
    assert heard.items[0] == Usage(input_tokens=5, estimated=True)


def test_the_reasoning_model_thinks_before_it_speaks() -> None:
    """All reasoning comes before all text, and is counted in the usage."""
    heard = hear("reasoning")
    kinds = [type(item) for item in heard.contents]
    assert kinds == sorted(kinds, key=[Reasoning, Text].index)
    usage = heard.items[-2]
    assert isinstance(usage, Usage)
    assert usage.reasoning_tokens == kinds.count(Reasoning) > 0


def test_reasoning_can_be_switched_for_any_model() -> None:
    """The option goes over the model's habit, both ways."""
    assert hear("default", {"reasoning": True, "tokens": 30}).text(Reasoning)
    assert not hear("reasoning", {"reasoning": False}).text(Reasoning)


def test_the_tools_model_streams_a_call() -> None:
    """Text, one call, its arguments in pieces of one JSON object, and the reason that says so."""
    heard = hear("tools")
    calls = [item for item in heard.contents if isinstance(item, ToolCall)]
    arguments = [item for item in heard.contents if isinstance(item, ToolArguments)]
    assert heard.text()
    assert [call.name for call in calls] == ["get_weather"]
    assert len(arguments) > 3
    assert {item.call for item in arguments} == {calls[0].call}
    assert json.loads(heard.text(ToolArguments))["days"] == 3
    assert heard.ended == Ended("tool_calls")


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"model": "tools", "tools": (Tool("first"), Tool("second"))}, "first"),
        ({"tools": (Tool("first"),), "tool_choice": "required"}, "first"),
        ({"tools": (Tool("first"), Tool("second")), "tool_choice": NamedTool("second")}, "second"),
        ({"options": {"tools": True}}, "get_weather"),
        ({"model": "tools", "messages": (*QUESTION, RESULT), "tool_choice": "required"}, "get_weather"),
        ({"model": "tools", "messages": (*QUESTION, RESULT)}, None),
        ({"model": "tools", "options": {"tools": False}}, None),
        ({"model": "tools", "tool_choice": "none"}, None),
        ({"tools": (Tool("first"),)}, None),
    ],
)
def test_which_tool_is_called(more: dict[str, Any], name: str | None) -> None:
    """The choice decides, then the option, then the model; and a result is not answered by another call."""
    calls = [item.name for item in hear(**more).contents if isinstance(item, ToolCall)]
    assert calls == ([] if name is None else [name])


@pytest.mark.parametrize("more", [{"model": "json"}, {"response_format": JsonFormat()}])
def test_json_is_streamed_as_one_object(more: dict[str, Any]) -> None:
    """The model and the response format both make it answer in JSON."""
    assert json.loads(hear(**more).text())["complete"] is True


def test_a_literal_text_is_streamed_as_it_is() -> None:
    """`text` comes back whole, in more than one piece, or as far as `tokens` go."""
    said = "  Grüße, 🧑‍🚀!\n\nfin "
    assert hear(options={"text": said}).text() == said
    assert hear(options={"text": said, "tokens": 3}).text() == "  Grüße,"


@pytest.mark.parametrize("tokens", [1, 2, 300])
def test_tokens_are_counted_exactly(tokens: int) -> None:
    """So many deltas are sent as were asked for, and the usage says so."""
    heard = hear(options={"tokens": tokens})
    assert len(heard.contents) == tokens
    assert heard.items[0] == Usage(input_tokens=4, estimated=True)
    assert heard.items[-2:] == [Usage(input_tokens=4, output_tokens=tokens), Ended("stop")]


@pytest.mark.parametrize(("most", "reason"), [(4, "length"), (5, "stop"), (6, "stop")])
def test_max_tokens_cuts_what_is_longer(most: int, reason: str) -> None:
    """An answer that just fits has ended by itself."""
    heard = hear(options={"tokens": 5}, max_tokens=most)
    assert len(heard.contents) == min(most, 5)
    assert heard.ended is not None
    assert heard.ended.reason == reason


@given(
    said=st.text("abc ", min_size=1, max_size=60),
    stops=st.lists(st.text("abc ", min_size=1, max_size=9), min_size=1, max_size=3),
)
def test_a_stop_sequence_ends_the_text_before_it(said: str, stops: Sequence[str]) -> None:
    """However the text is cut, nothing of the first sequence to be complete is sent, and all before it is."""
    heard = hear(options={"text": said, "rate": 100_000}, stop=stops)
    _, end = min(((said.find(stop) + len(stop), said.find(stop)) for stop in stops if stop in said), default=(0, None))
    assert heard.text() == said[:end]
    assert heard.ended == Ended("stop")
    assert heard.items[-2] == Usage(input_tokens=4, output_tokens=len(heard.contents))


@pytest.mark.parametrize(
    ("options", "field", "limit"),
    [
        ({"rate": 0.09}, "options.rate", 0.1),
        ({"rate": 100_001}, "options.rate", 100_000),
        ({"rate": "fast"}, "options.rate", None),
        ({"tokens": 0}, "options.tokens", 1),
        ({"tokens": 200_001}, "options.tokens", 200_000),
        ({"tokens": True}, "options.tokens", None),
        ({"seed": 1.5}, "options.seed", None),
        ({"text": ""}, "options.text", 1),
        ({"reasoning": 1}, "options.reasoning", None),
        ({"tools": "yes"}, "options.tools", None),
        ({"fault": "fire"}, "options.fault", None),
        ({"fault_after": -1}, "options.fault_after", 0),
        ({"speed": 3}, "options.speed", None),
    ],
)
def test_a_bad_option_is_refused_by_name(options: dict[str, Any], field: str, limit: float | None) -> None:
    """The refusal names the option, and the limit when it is about one."""
    error = refusal(options=options).error
    assert (error.field, error.limit) == (field, limit)
    assert field in error.message


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"model": "gpt"}, "model"),
        ({"response_format": JsonFormat(schema={})}, "response_format.schema"),
        ({"tool_choice": NamedTool("absent")}, "tool_choice.name"),
    ],
)
def test_what_it_cannot_honour_is_refused_by_name(more: dict[str, Any], field: str) -> None:
    """Nothing that was asked for is silently left out."""
    assert refusal(**more).error.field == field


@pytest.mark.parametrize("after", [0, 10, 500])
@pytest.mark.parametrize("fault", ["stall", "error", "garbage", "truncate", "refuse"])
def test_a_fault_comes_after_so_many_tokens(fault: str, after: int) -> None:
    """What was said before it arrives, and then it happens, at the end of the answer at the latest."""
    heard = hear(options={"fault": fault, "fault_after": after, "tokens": 50})
    assert len([item for item in heard.contents if isinstance(item, Text)]) == min(after, 50)
    if fault == "refuse":
        assert heard.text(Refusal).startswith("I would rather not")
        assert heard.ended == Ended("refusal")
    else:
        assert heard.ended is None
        assert [item for item in heard.items if isinstance(item, Usage)] == [Usage(input_tokens=4, estimated=True)]
    if fault == "stall":
        assert isinstance(heard.error, TimeoutError)
    else:
        assert getattr(heard.error, "code", None) == FAULT_ERRORS.get(fault)


def test_a_slow_start_is_silence_and_then_an_answer() -> None:
    """Five seconds pass before the first content, which is otherwise as usual."""
    heard = hear(options={"fault": "slow_start"})
    assert heard.batches[1][0] >= 5
    assert heard.text() == hear().text()


def test_the_pace_is_forty_a_second_with_a_rhythm() -> None:
    """At its natural rate each token comes alone, in order, never quite evenly and never far from its beat."""
    moments = [at for at, batch in hear(options={"tokens": 400}).batches[1:] for _ in batch]
    assert moments == sorted(moments)
    assert all(n / 40 <= at <= (n + 0.8) / 40 + 0.001 for n, at in enumerate(moments[:400]))
    assert len({round(later - at, 4) for at, later in itertools.pairwise(moments)}) > 100


def test_late_wake_ups_do_not_add_up() -> None:
    """Each sleep overruns by two intervals, and still the end is late by one overrun, not by hundreds."""
    heard = hear(options={"tokens": 400}, late_s=0.05)
    assert heard.batches[-1][0] < 401 / 40 + 0.06
    assert len(heard.batches) < 250


def test_at_full_rate_what_is_due_goes_together() -> None:
    """A hundred thousand a second are not as many wake-ups, and no batch is large."""
    heard = hear(options={"tokens": 20_000, "rate": 100_000}, late_s=0.001)
    assert len(heard.batches) < 400
    assert max(len(batch) for _, batch in heard.batches) <= 258
    assert heard.batches[-1][0] < 0.21


async def test_a_long_answer_takes_no_more_memory_than_a_short_one() -> None:
    """Text is made when it is due, so an answer of any length is a few batches of memory."""
    asked = Prompt("default", QUESTION, options={"tokens": 20_000, "rate": 100_000})
    count = 0

    def take(batch: Batch) -> None:
        nonlocal count
        count += len(batch)

    tracemalloc.start()
    try:
        async with DemoProvider().open(asked, Deadlines()) as stream:
            await stream.run(take)
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()
    assert count == 20_003
