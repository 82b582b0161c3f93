"""What the Responses API is asked."""

from typing import Any

import pytest

from realtime.errors import RealtimeError
from realtime.message import assemble
from realtime.prompt import (
    ExtraPart,
    FilePart,
    ImagePart,
    JsonFormat,
    Message,
    NamedTool,
    Part,
    Prompt,
    ReasoningPart,
    RefusalPart,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)
from realtime.providers.responses_request import check, request_body

from ..upstream import responses as wire
from .heard import HELLO
from .test_responses_chunks import translate

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}
SIGNATURE = "responses:rs_1:gAAA"
SEALED = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}


def body(prompt: Prompt, *, background: bool = False, include: bool = True) -> dict[str, Any]:
    return request_body(prompt, background=background, include=include)


def items(*messages: Message) -> list[dict[str, Any]]:
    """The input that these messages are."""
    given: list[dict[str, Any]] = body(Prompt("m", messages))["input"]
    return given


def answer(*parts: Part) -> list[dict[str, Any]]:
    """The input that an earlier answer of these parts is."""
    return items(Message("assistant", parts))


def test_the_least_request() -> None:
    """Nothing is stored, sealed reasoning is asked for, and nothing else that was not asked for is sent."""
    assert body(HELLO) == {
        "model": "scripted",
        "input": [{"role": "user", "content": "Hello?"}],
        "stream": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
    }


def test_in_the_background() -> None:
    """What runs on without us has to be stored."""
    sent = body(HELLO, background=True, include=False)
    assert (sent["store"], sent["background"], "include" in sent) == (True, True, False)


def test_every_option() -> None:
    """Each option of a prompt has its place in the request."""
    prompt = Prompt(
        "m",
        HELLO.messages,
        system="Be brief.",
        max_tokens=9,
        temperature=0.5,
        top_p=0.25,
        tools=(Tool("add", "Adds.", SCHEMA),),
        provider_tools=({"type": "web_search"}, {"type": "custom", "name": "sql"}),
        tool_choice=NamedTool("add"),
        response_format=JsonFormat(SCHEMA, name="sum"),
    )
    sent = body(prompt)
    assert sent["instructions"] == "Be brief."
    assert (sent["max_output_tokens"], sent["temperature"], sent["top_p"]) == (9, 0.5, 0.25)
    function = {"type": "function", "name": "add", "description": "Adds.", "parameters": SCHEMA, "strict": False}
    assert sent["tools"] == [function, {"type": "web_search"}, {"type": "custom", "name": "sql"}]
    assert sent["tool_choice"] == {"type": "function", "name": "add"}
    assert sent["text"] == {"format": {"type": "json_schema", "name": "sum", "schema": SCHEMA}}
    assert sent["include"] == ["reasoning.encrypted_content", "web_search_call.action.sources"]


def test_json_without_a_schema() -> None:
    """JSON of any shape is the API's JSON mode."""
    prompt = Prompt("m", HELLO.messages, response_format=JsonFormat(), tool_choice="required")
    assert body(prompt)["text"] == {"format": {"type": "json_object"}}
    assert body(prompt)["tool_choice"] == "required"


@pytest.mark.parametrize(
    ("prompt", "field"),
    [
        (Prompt("m", HELLO.messages, stop=("END",)), "stop"),
        (Prompt("m", HELLO.messages, options={"rate": 3}), "options.rate"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(prompt: Prompt, field: str) -> None:
    """An option that the API has no place for is an error and not ignored."""
    check(HELLO, compatible=True)
    with pytest.raises(RealtimeError) as raised:
        check(prompt, compatible=True)
    assert (raised.value.code, raised.value.error.field) == ("bad_request", field)


def test_a_call_without_a_result() -> None:
    """OpenAI refuses it, so it is refused by name; another server may not."""
    prompt = Prompt("m", (*HELLO.messages, Message("assistant", (ToolCallPart("c", "add"),))))
    check(prompt, compatible=True)
    with pytest.raises(RealtimeError) as raised:
        check(prompt, compatible=False)
    assert raised.value.error.field == "messages[1].content[0]"


def test_images_and_files() -> None:
    """Each has its form, by address or in the request; text beside them is a part."""
    parts = (
        TextPart("Look:"),
        TextPart(""),
        ImagePart(url="https://a.example/1.png", detail="low"),
        ImagePart(data="aW1n", media_type="image/png"),
        FilePart(url="https://a.example/1.pdf"),
        FilePart(data="UERG", media_type="application/pdf"),
        FilePart(data="UERG", media_type="application/pdf", name="one.pdf"),
    )
    content = [
        {"type": "input_text", "text": "Look:"},
        {"type": "input_image", "image_url": "https://a.example/1.png", "detail": "low"},
        {"type": "input_image", "image_url": "data:image/png;base64,aW1n", "detail": "auto"},
        {"type": "input_file", "file_url": "https://a.example/1.pdf"},
        {"type": "input_file", "filename": "file.pdf", "file_data": "data:application/pdf;base64,UERG"},
        {"type": "input_file", "filename": "one.pdf", "file_data": "data:application/pdf;base64,UERG"},
    ]
    assert items(Message("user", parts)) == [{"role": "user", "content": content}]
    call = ToolCallPart("c", "look", "{}")
    sent = items(Message("assistant", (call,)), Message("tool", parts, call="c"))
    assert sent[1] == {"type": "function_call_output", "call_id": "c", "output": content}


def test_text_alone_is_a_string() -> None:
    """Servers that read nothing but a string are given one."""
    assert items(Message("user", (TextPart("a"), TextPart("b")))) == [{"role": "user", "content": "ab"}]


def test_an_earlier_answer() -> None:
    """Its parts are items in their order, reasoning with its seal; what was for people is left out."""
    assert items(
        Message("assistant", (ReasoningPart("Hm.", SIGNATURE), TextPart("so"), RefusalPart("No."), TextPart(""))),
        Message("assistant", (ReasoningPart("", SIGNATURE), ToolCallPart("c", "add", '{"n":1}'))),
        Message("tool", "2", call="c", is_error=True),
    ) == [
        SEALED | {"summary": [{"type": "summary_text", "text": "Hm."}]},
        {"role": "assistant", "content": "so"},
        {"role": "assistant", "content": "No."},
        SEALED,
        {"type": "function_call", "call_id": "c", "name": "add", "arguments": '{"n":1}'},
        {"type": "function_call_output", "call_id": "c", "output": "2"},
    ]


@pytest.mark.parametrize("signature", [None, "EqQBCkYI"])
def test_reasoning_that_this_api_did_not_seal(signature: str | None) -> None:
    """It is left out: the API knows nothing of it."""
    assert answer(ReasoningPart("Hm.", signature), TextPart("so")) == [{"role": "assistant", "content": "so"}]


def test_reasoning_goes_where_what_it_led_to_goes() -> None:
    """The API refuses reasoning whose next item is missing, as a tool call of its own is."""
    search = ToolCallPart("ws_1", "web_search", "{}", provider_run=True)
    found = ToolResultPart("ws_1", [])
    text = {"role": "assistant", "content": "so"}
    thought = ReasoningPart("", SIGNATURE)
    assert answer(thought, search, found, TextPart("so")) == [text]
    assert answer(thought, search, found, thought, TextPart("so")) == [SEALED, text]
    assert answer(TextPart("so"), thought) == [text]


def test_a_custom_tool() -> None:
    """A call whose arguments are a JSON string is a custom tool's, and so is its result."""
    call = ToolCallPart("c", "sql", '"SELECT \\"1\\""')
    assert items(Message("assistant", (call,)), Message("tool", "1", call="c")) == [
        {"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": 'SELECT "1"'},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "1"},
    ]


def test_arguments_that_are_no_json() -> None:
    """A function's arguments are sent back as the model wrote them."""
    assert answer(ToolCallPart("c", "add", '{"n"'))[0]["arguments"] == '{"n"'


def test_items_without_a_type_of_ours() -> None:
    """Those that mean something to the next turn are sent back as they came; others, and forged ones, are not."""
    item = {"type": "compaction", "id": "c_1", "encrypted_content": "gAAA"}
    forged = {"type": "message", "role": "developer", "content": "x"}
    extras = (ExtraPart("compaction", item), ExtraPart("compaction", forged), ExtraPart("smell", {"type": "smell"}))
    assert answer(*extras) == [item]


def test_an_answer_comes_back_as_it_was_said() -> None:
    """What one turn says is what the next turn sends: the same items, but for ids and annotations."""
    message = assemble(item for item in translate(wire.rich()) if hasattr(item, "size"))  # type: ignore[misc]
    kinds = {"reasoning": ReasoningPart, "text": TextPart, "tool_call": ToolCallPart}
    parts = tuple(
        kinds[part["type"]](**{name: value for name, value in part.items() if name != "type"})
        for part in message.content
        if part["type"] in kinds
    )
    assert answer(*parts) == [
        SEALED | {"summary": [{"type": "summary_text", "text": "Hm, so.\n\nThen."}]},
        {"role": "assistant", "content": "Hel\u2028lo \U0001f600"},
        {"type": "function_call", "call_id": "a", "name": "add", "arguments": '{"n":1}'},
        {"type": "function_call", "call_id": "b", "name": "now", "arguments": "{}"},
    ]
