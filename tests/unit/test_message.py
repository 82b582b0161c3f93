"""The whole message, folded from events."""

from hypothesis import given
from hypothesis import strategies as st

from realtime.events import (
    Content,
    Data,
    Reasoning,
    Refusal,
    Source,
    Text,
    ToolArguments,
    ToolCall,
    ToolResult,
)
from realtime.message import Assembler, assemble

from .logs import ATTEMPT, DONE, STARTED


def test_parts_keep_the_order_in_which_they_began() -> None:
    """Deltas of one part are joined, whatever comes between them; the rest stands by itself."""
    events: list[Content] = [
        Reasoning("think", signature=None),
        Text("Hel"),
        ToolCall("c1", "search", part=1),
        ToolArguments('{"q":', call="c1"),
        Text("lo"),
        ToolArguments("1}", call="c1"),
        Reasoning("", signature="sealed"),
        ToolResult("c1", [1, 2]),
        Source("https://example.com", "Example"),
        Data("step", {"n": 1}),
        Refusal("no"),
    ]
    message = assemble([STARTED, ATTEMPT, *events, DONE])
    assert message.text == "Hello"
    assert message.content == [
        {"type": "reasoning", "text": "think", "signature": "sealed"},
        {"type": "text", "text": "Hello"},
        {"type": "tool_call", "call": "c1", "name": "search", "arguments": '{"q":1}'},
        {"type": "tool_result", "call": "c1", "content": [1, 2]},
        {"type": "source", "url": "https://example.com", "title": "Example"},
        {"type": "data", "name": "step", "value": {"n": 1}},
        {"type": "refusal", "text": "no"},
    ]


def test_a_call_without_arguments_has_an_empty_text() -> None:
    """So a reader need not ask whether the field is there."""
    assert assemble([ToolCall("c", "f", provider_run=True)]).content == [
        {"type": "tool_call", "call": "c", "name": "f", "arguments": "", "provider_run": True}
    ]


@given(st.lists(st.tuples(st.text(max_size=5), st.integers(0, 2))))
def test_the_text_of_each_part_is_the_concatenation_of_its_deltas(deltas: list[tuple[str, int]]) -> None:
    """Folding one at a time, with messages taken in between, loses and doubles nothing."""
    assembler = Assembler()
    for text, part in deltas:
        assembler.add(Text(text, part))
        assembler.message()
    expected: dict[int, str] = {}
    for text, part in deltas:
        expected[part] = expected.get(part, "") + text
    assert [part["text"] for part in assembler.message().content] == list(expected.values())
