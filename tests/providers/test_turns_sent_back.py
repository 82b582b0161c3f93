"""An answer, assembled and sent back as the assistant's turn, reaches the model as it came from it."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given

from realtime.events import Content
from realtime.message import assemble
from realtime.prompt import Message, Prompt
from realtime.providers import chat_request, messages_request
from realtime.providers.anthropic import AnthropicProvider
from realtime.providers.base import Provider
from realtime.providers.openai import OpenAIProvider
from tests.support.http import request
from tests.support.server import RunningServer, serving
from tests.upstream import Reply, Upstream, chat, messages

from .answers import answers
from .sdk_types import CHAT, assert_accepted

USER = Message("user", "q")


def next_prompt(answer: list[dict[str, Any]], turn: Message) -> Prompt:
    """The prompt that follows: the answer, the results of its calls, and more from the user."""
    calls = [part for part in answer if part["type"] == "tool_call" and not part.get("provider_run")]
    results = (Message("tool", "done", call=part["call"]) for part in calls)
    return Prompt("m", (USER, turn, *results, USER))


@given(answers())
def test_nothing_of_an_answer_is_lost_in_a_turn(events: list[Content]) -> None:
    """Every part of the message is one of the turn with the same fields; on the wire it is the same JSON."""
    message = assemble(events)
    turn = message.turn()
    assert turn == msgspec.json.decode(
        msgspec.json.encode({"role": message.role, "content": message.content}), type=Message
    )
    assert len(turn.parts) == len(message.content)
    for given_part, part in zip(message.content, turn.parts, strict=True):
        fields = {name: value for name, value in given_part.items() if name != "type"}
        assert {name: getattr(part, name) for name in fields} == fields
        assert part.__struct_config__.tag == given_part["type"]


@given(answers())
def test_an_answer_as_blocks_of_messages(events: list[Content]) -> None:
    """What was sealed, said, called and run comes in its order, unchanged, and with nothing between that was not."""
    message = assemble(events)
    prompt = next_prompt(message.content, message.turn())
    messages_request.check(prompt)
    turns = messages_request.request_body(prompt)["messages"]
    assert [turn["role"] for turn in turns] in (["user"], ["user", "assistant", "user"])
    content = turns[1]["content"] if len(turns) > 1 else []
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    assert blocks == [block for part in message.content for block in expected_blocks(part)]


def expected_blocks(part: dict[str, Any]) -> list[dict[str, Any]]:
    """What one part of an answer is to the Messages API."""
    match part:
        case {"type": "text", "text": text} if text.strip():
            return [{"type": "text", "text": text}]
        case {"type": "reasoning", "signature": signature}:
            return [{"type": "thinking", "thinking": part["text"], "signature": signature}]
        case {"type": "reasoning", "redacted": redacted}:
            return [{"type": "redacted_thinking", "data": redacted}]
        case {"type": "tool_call"}:
            kind = "server_tool_use" if part.get("provider_run") else "tool_use"
            arguments = json.loads(part["arguments"])
            return [{"type": kind, "id": part["call"], "name": part["name"], "input": arguments}]
        case {"type": "tool_result"}:
            return [{"type": "web_search_tool_result", "tool_use_id": part["call"], "content": part["content"]}]
    return []


@given(answers())
def test_an_answer_as_a_message_of_chat_completions(events: list[Content]) -> None:
    """Its words are one text, and its calls are whole and in order; the SDK's types take what is sent."""
    message = assemble(events)
    if not message.content:
        return
    prompt = next_prompt(message.content, message.turn())
    chat_request.check(prompt, compatible=False)
    body = chat_request.request_body(prompt, compatible=False)
    assert_accepted(CHAT, body)
    said = body["messages"][1]
    calls = [part for part in message.content if part["type"] == "tool_call" and not part.get("provider_run")]
    assert (said["content"] or "") == "".join(
        part["text"] for part in message.content if part["type"] in {"text", "refusal"}
    )
    assert said.get("tool_calls", []) == [
        {"id": part["call"], "type": "function", "function": {"name": part["name"], "arguments": part["arguments"]}}
        for part in calls
    ]


TOOL = {"name": "add", "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}}}
ASKED = {"role": "user", "content": "What is 1 more than 1?"}


async def answer_of(server: RunningServer, model: str, turns: list[dict[str, Any]]) -> dict[str, Any]:
    """Ask over HTTP and wait; the message of the answer."""
    body = {"model": model, "messages": turns, "tools": [TOOL]}
    made = await request(server.address, "POST", "/v1/generations", body, {"Prefer": "wait=20"})
    assert made.json()["outcome"] == "completed", made
    message: dict[str, Any] = made.json()["message"]
    return message


async def second_body(provider: Provider, upstream: Upstream, answer: Reply, last: Reply) -> dict[str, Any]:
    """Two turns over HTTP, the second with the first's answer as `GET` gives it; what the upstream got then."""
    upstream.reply = answer
    async with serving({"p": provider}) as server:
        said = await answer_of(server, "p/m", [ASKED])
        upstream.reply = last
        turn = {"role": "assistant", "content": said["content"]}
        result = {"role": "tool", "call": "toolu_1", "content": "2"}
        assert (await answer_of(server, "p/m", [ASKED, turn, result]))["text"] == "2."
    body: dict[str, Any] = upstream.exchanges[-1].body
    return body


async def test_a_call_and_its_result_over_messages() -> None:
    """Thinking comes back with its seal, before the text and the call that followed from it."""
    thought = [
        messages.begin(0, "thinking", thinking="", signature=""),
        messages.delta(0, "thinking_delta", thinking="One "),
        messages.delta(0, "thinking_delta", thinking="more."),
        messages.delta(0, "signature_delta", signature="c2VhbA=="),
        messages.stop(0),
    ]
    hidden = [messages.begin(1, "redacted_thinking", data="aGlkZGVu"), messages.stop(1)]
    said = [messages.begin(2, "text", text=""), messages.delta(2, "text_delta", text="I add."), messages.stop(2)]
    call = messages.tool(3, "toolu_1", "add", '{"n"', ": 1}")
    answer = Reply([messages.start(), *thought, *hidden, *said, *call, *messages.end("tool_use")])
    async with Upstream() as upstream:
        provider = AnthropicProvider("key", upstream.url)
        body = await second_body(provider, upstream, answer, Reply(messages.text("2.")))
    assert body["messages"] == [
        ASKED,
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "One more.", "signature": "c2VhbA=="},
                {"type": "redacted_thinking", "data": "aGlkZGVu"},
                {"type": "text", "text": "I add."},
                {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"n": 1}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "2"}]},
    ]


@pytest.mark.parametrize("said", ["I add.", None])
async def test_a_call_and_its_result_over_chat_completions(said: str | None) -> None:
    """Text and call come back in one message, with `null` for no text; the reasoning has no place there."""
    words = [] if said is None else [chat.chunk({"content": said})]
    thought = chat.chunk({"role": "assistant", "reasoning_content": "One more."})
    call = [chat.tool(0, "toolu_1", "add", '{"n"'), chat.tool(0, None, None, ": 1}")]
    answer = Reply([thought, *words, *call, chat.chunk(finish="tool_calls"), chat.usage(), chat.DONE])
    async with Upstream() as upstream:
        provider = OpenAIProvider("key", f"{upstream.url}/v1")
        body = await second_body(provider, upstream, answer, Reply(chat.text("2.")))
    function = {"name": "add", "arguments": '{"n": 1}'}
    assert body["messages"] == [
        ASKED,
        {
            "role": "assistant",
            "content": said,
            "tool_calls": [{"id": "toolu_1", "type": "function", "function": function}],
        },
        {"role": "tool", "content": "2", "tool_call_id": "toolu_1"},
    ]
