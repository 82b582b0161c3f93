"""A prompt as Chat Completions has it: every part in its place, and refused before what OpenAI would refuse."""

import base64
from typing import Any

import pytest

from realtime.errors import RealtimeError
from realtime.prompt import (
    FilePart,
    ImagePart,
    JsonFormat,
    Message,
    NamedTool,
    Part,
    Prompt,
    ReasoningPart,
    RefusalPart,
    SourcePart,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)
from realtime.providers.chat_request import check, request_body

from .sdk_types import CHAT, assert_accepted

USER = Message("user", "q")
PNG = base64.b64encode(b"\x89PNG").decode()
PDF = base64.b64encode(b"%PDF-1.7").decode()
TOOLS = (Tool("add"),)


def sent(*turns: Message, compatible: bool = False, **options: Any) -> dict[str, Any]:
    """The body of a prompt that passes the check, and that the SDK's types take."""
    prompt = Prompt("m", turns, **options)
    check(prompt, compatible=compatible)
    body = request_body(prompt, compatible=compatible)
    assert_accepted(CHAT, body)
    return body


def refused(*turns: Message, compatible: bool = False, **options: Any) -> str | None:
    """The field of the refusal."""
    with pytest.raises(RealtimeError) as raised:
        check(Prompt("m", turns, **options), compatible=compatible)
    assert raised.value.code == "bad_request"
    return raised.value.error.field


def test_a_plain_question() -> None:
    """Nothing is sent that was not asked for but the wish for a stream with usage."""
    assert sent(USER) == {
        "model": "m",
        "messages": [{"role": "user", "content": "q"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize(("compatible", "limit"), [(True, "max_tokens"), (False, "max_completion_tokens")])
def test_every_option_is_mapped(compatible: bool, limit: str) -> None:
    """Each option of a prompt has its place in the request; OpenAI's newer name of one is understood there alone."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    body = sent(
        USER,
        compatible=compatible,
        system="Be brief.",
        max_tokens=9,
        temperature=0.5,
        top_p=0.25,
        stop=("END",),
        tools=(Tool("add", "Adds.", schema),),
        tool_choice=NamedTool("add"),
        response_format=JsonFormat(schema, name="sum"),
    )
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (body[limit], body["temperature"], body["top_p"], body["stop"]) == (9, 0.5, 0.25, ["END"])
    assert body["tools"] == [
        {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": schema}}
    ]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "add"}}
    assert body["response_format"] == {"type": "json_schema", "json_schema": {"name": "sum", "schema": schema}}


def test_json_without_a_schema() -> None:
    """JSON of any shape is the API's JSON mode."""
    assert sent(USER, response_format=JsonFormat())["response_format"] == {"type": "json_object"}


def test_an_earlier_turn_goes_back_as_far_as_there_is_a_place() -> None:
    """Text and calls do; reasoning, what a provider ran and citations do not; text alone is a plain string."""
    search = (ToolCallPart("ws_1", "web_search", "{}", provider_run=True), ToolResultPart("ws_1", []))
    said = (ReasoningPart("hm", signature="seal"), *search, TextPart("c"), SourcePart("https://a.example"))
    turns = (
        Message("user", (TextPart("a"), TextPart("b"))),
        Message("assistant", (*said, ToolCallPart("call_1", "add", '{"n":1}'))),
        Message("tool", (TextPart("2"),), call="call_1", is_error=True),
        Message("assistant", (ReasoningPart("hm"), ToolCallPart("call_2", "add", ""))),
        Message("tool", "", call="call_2"),
        Message("assistant", (TextPart("I "), RefusalPart("won't."))),
        USER,
    )
    first = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"n":1}'}}
    second = {"id": "call_2", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    assert sent(*turns, tools=TOOLS)["messages"] == [
        {"role": "user", "content": "ab"},
        {"role": "assistant", "content": "c", "tool_calls": [first]},
        {"role": "tool", "content": "2", "tool_call_id": "call_1"},
        {"role": "assistant", "content": None, "tool_calls": [second]},
        {"role": "tool", "content": "", "tool_call_id": "call_2"},
        {"role": "assistant", "content": "I won't."},
        {"role": "user", "content": "q"},
    ]


def test_images_and_files() -> None:
    """An image by address or as a data URL, a file as a data URL under its name or one that ends as its type does."""
    parts: tuple[Part, ...] = (
        TextPart("Look:"),
        TextPart(""),
        ImagePart(url="https://a.example/x.png", detail="low"),
        ImagePart(data=PNG, media_type="image/png"),
        FilePart(data=PDF, media_type="application/pdf", name="paper.pdf"),
        FilePart(data=PDF, media_type="application/pdf"),
    )
    data = f"data:application/pdf;base64,{PDF}"
    assert sent(Message("user", parts))["messages"][0]["content"] == [
        {"type": "text", "text": "Look:"},
        {"type": "image_url", "image_url": {"url": "https://a.example/x.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "file", "file": {"filename": "paper.pdf", "file_data": data}},
        {"type": "file", "file": {"filename": "file.pdf", "file_data": data}},
    ]


def test_a_compatible_server_may_run_tools() -> None:
    """They are passed on as they are, beside the caller's own."""
    search = {"type": "openrouter:web_search"}
    prompt = Prompt("m", (USER,), tools=TOOLS, provider_tools=(search,))
    check(prompt, compatible=True)
    assert request_body(prompt, compatible=True)["tools"][1] == search


def call(ident: str = "a") -> Message:
    """A turn of one call."""
    return Message("assistant", (ToolCallPart(ident, "add"),))


@pytest.mark.parametrize(
    ("turns", "options", "field"),
    [
        ((USER,), {"provider_tools": ({"type": "web_search"},)}, "provider_tools[0]"),
        ((USER,), {"stop": ("a", "b", "c", "d", "e")}, "stop"),
        ((USER,), {"tool_choice": "auto"}, "tool_choice"),
        ((USER, call()), {}, "messages[1].content[0]"),
        ((USER, call(), USER), {}, "messages[1].content[0]"),
        ((USER, call(), USER, Message("tool", "1", call="a")), {}, "messages[1].content[0]"),
        ((USER, call(), Message("tool", "1", call="b")), {}, "messages[2].call"),
        ((USER, Message("tool", "1", call="a")), {}, "messages[1].call"),
        ((USER, Message("assistant", (ToolCallPart("a", "f"),) * 2)), {}, "messages[1].content[1].call"),
    ],
)
def test_what_openai_would_refuse_is_refused_before(
    turns: tuple[Message, ...], options: dict[str, Any], field: str
) -> None:
    """With the path of the caller's own field; a compatible server may take it, and is asked."""
    assert refused(*turns, **options) == field
    check(Prompt("m", turns, **options), compatible=True)


@pytest.mark.parametrize("compatible", [True, False])
@pytest.mark.parametrize(
    ("turns", "options", "field"),
    [
        ((USER,), {"options": {"rate": 3}}, "options.rate"),
        ((Message("user", (FilePart(url="https://a.example"),)),), {}, "messages[0].content[0].url"),
        (
            (USER, call(), Message("tool", (TextPart("a"), ImagePart(url="https://a.example")), call="a")),
            {},
            "messages[2].content[1]",
        ),
    ],
)
def test_what_the_wire_cannot_say_is_refused(
    turns: tuple[Message, ...], options: dict[str, Any], field: str, compatible: bool
) -> None:
    """Whatever server is asked, by name and not by leaving it out."""
    assert refused(*turns, compatible=compatible, **options) == field


def test_an_id_may_come_again_in_a_later_turn() -> None:
    """Some servers number the calls of each turn from 0, and OpenAI takes their histories."""
    answer = Message("tool", "1", call="a")
    check(Prompt("m", (USER, call(), answer, call(), answer)), compatible=False)
