"""A prompt as the Messages API has it: every part in its place, and refused before what the API would refuse."""

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
from realtime.providers.messages_request import check, request_body

from .sdk_types import MESSAGES, assert_accepted

USER = Message("user", "q")
PNG = base64.b64encode(b"\x89PNG").decode()
PDF = base64.b64encode(b"%PDF-1.7").decode()
SEARCH = {"type": "web_search_20260209", "name": "web_search", "max_uses": 3}


def sent(*turns: Message, **options: Any) -> dict[str, Any]:
    """The body of a prompt that passes the check, and that the SDK's types take."""
    prompt = Prompt("m", turns, **options)
    check(prompt)
    body = request_body(prompt)
    assert_accepted(MESSAGES, body)
    return body


def refused(*turns: Message, **options: Any) -> tuple[str, str | None]:
    """The code and the field of the refusal."""
    with pytest.raises(RealtimeError) as raised:
        check(Prompt("m", turns, **options))
    return raised.value.code, raised.value.error.field


def test_a_plain_question() -> None:
    """Nothing is sent that was not asked for but the limit that the API demands."""
    asked = [{"role": "user", "content": "q"}]
    assert sent(USER) == {"model": "m", "messages": asked, "max_tokens": 4096, "stream": True}


def test_every_option_is_mapped() -> None:
    """Each option of a prompt has its place in the request."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    body = sent(
        USER,
        system="Be brief.",
        max_tokens=9,
        stop=("END",),
        tools=(Tool("add", "Adds.", schema),),
        provider_tools=(SEARCH,),
        tool_choice="required",
        response_format=JsonFormat(schema),
    )
    assert (body["system"], body["max_tokens"], body["stop_sequences"]) == ("Be brief.", 9, ["END"])
    assert body["tools"] == [{"name": "add", "description": "Adds.", "input_schema": schema}, SEARCH]
    assert body["tool_choice"] == {"type": "any"}
    closed = schema | {"additionalProperties": False}
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": closed}}


@pytest.mark.parametrize("name", ["add", "web_search"])
def test_a_named_tool(name: str) -> None:
    """One tool can be demanded by name, the caller's or the provider's."""
    body = sent(USER, tools=(Tool("add"),), provider_tools=(SEARCH,), tool_choice=NamedTool(name))
    assert body["tool_choice"] == {"type": "tool", "name": name}


def test_images_and_documents() -> None:
    """By address or by their bytes; any text is plain, decoded, and under its own title."""
    parts: tuple[Part, ...] = (
        TextPart("Look:"),
        ImagePart(url="https://a.example/x.png"),
        ImagePart(data=PNG, media_type="image/png", detail="auto"),
        FilePart(url="https://a.example/x.pdf"),
        FilePart(data=PDF, media_type="application/pdf", name="paper.pdf"),
        FilePart(data=base64.b64encode("a,ä\n".encode()).decode(), media_type="text/csv", name="t.csv"),
    )
    (turn,) = sent(Message("user", parts))["messages"]
    assert turn["content"] == [
        {"type": "text", "text": "Look:"},
        {"type": "image", "source": {"type": "url", "url": "https://a.example/x.png"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        {"type": "document", "source": {"type": "url", "url": "https://a.example/x.pdf"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
            "title": "paper.pdf",
        },
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "a,ä\n"},
            "title": "t.csv",
        },
    ]


def test_an_earlier_turn_goes_back_as_it_was() -> None:
    """Sealed reasoning is first and unchanged; what the API did not seal, and blank text, are left out."""
    sealed = (ReasoningPart(" hm\n", signature="seal"), ReasoningPart("unsealed"), ReasoningPart(redacted="xyz"))
    foreign = ReasoningPart("hm", signature="responses:rs_1:AAAA")
    turn = (*sealed, foreign, TextPart("c"), TextPart("\n\n"), RefusalPart("no"), SourcePart("https://a.example"))
    calls = (ToolCallPart("a", "add", '{"n":1}'), ToolCallPart("b", "add", ""))
    body = sent(
        USER,
        Message("assistant", turn + calls),
        Message("tool", "2", call="a"),
        Message("tool", (TextPart("bad"),), call="b", is_error=True),
        Message("user", "and?"),
    )
    _, said, results = body["messages"]
    assert said["content"] == [
        {"type": "thinking", "thinking": " hm\n", "signature": "seal"},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "c"},
        {"type": "tool_use", "id": "a", "name": "add", "input": {"n": 1}},
        {"type": "tool_use", "id": "b", "name": "add", "input": {}},
    ]
    assert results == {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "a", "content": "2"},
            {"type": "tool_result", "tool_use_id": "b", "content": "bad", "is_error": True},
            {"type": "text", "text": "and?"},
        ],
    }


def test_a_result_may_hold_images_or_nothing() -> None:
    """A tool may show a picture, and may have nothing to say."""
    calls = Message("assistant", (ToolCallPart("a", "look"), ToolCallPart("b", "touch")))
    picture = Message("tool", (TextPart("seen"), ImagePart(data=PNG, media_type="image/png")), call="a")
    *_, results = sent(USER, calls, picture, Message("tool", "", call="b"))["messages"]
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    assert results["content"] == [
        {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "seen"}, image]},
        {"type": "tool_result", "tool_use_id": "b"},
    ]


FOUND: list[dict[str, Any]] = [
    {"type": "web_search_result", "url": "https://a.example", "title": "A", "encrypted_content": "x", "page_age": None}
]


def searched(call: str) -> tuple[Part, ...]:
    """A search that the provider ran, and what it found."""
    return (ToolCallPart(call, "web_search", '{"query":"a"}', provider_run=True), ToolResultPart(call, FOUND))


def test_tools_the_provider_ran_go_back_with_their_results() -> None:
    """Both as its own blocks, in their order; another provider's, whose ids it would refuse, are left out."""
    turn = Message("assistant", (*searched("srvtoolu_1"), *searched("ws_1"), TextPart("It is A.")))
    said = sent(USER, turn, USER)["messages"][1]
    assert said["content"] == [
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "a"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": FOUND},
        {"type": "text", "text": "It is A."},
    ]


def test_both_searches_for_tools_answer_as_one() -> None:
    """Their results have one type, whichever of them was asked."""
    call = ToolCallPart("srvtoolu_1", "tool_search_tool_bm25", '{"query":"a"}', provider_run=True)
    found = {"type": "tool_search_tool_search_result", "tool_references": []}
    turn = Message("assistant", (call, ToolResultPart("srvtoolu_1", found), TextPart("None.")))
    assert sent(USER, turn, USER)["messages"][1]["content"][1] == {
        "type": "tool_search_tool_result",
        "tool_use_id": "srvtoolu_1",
        "content": found,
    }


def test_a_paused_turn_goes_on_and_a_stopped_one_does_not() -> None:
    """A call that the provider has not answered is sent where it can still be, and nowhere else."""
    paused = Message("assistant", (TextPart("Well"), searched("srvtoolu_1")[0]))
    assert [block["type"] for block in sent(USER, paused)["messages"][1]["content"]] == ["text", "server_tool_use"]
    assert sent(USER, paused, USER)["messages"][1]["content"] == "Well"


def test_roles_alternate() -> None:
    """Turns of one role are one message, also where nothing was left of the turn between them."""
    unsaid = Message("assistant", (ReasoningPart("unsealed"),))
    said = Message("assistant", "a")
    body = sent(USER, unsaid, Message("user", "still?"), said, said, USER)
    text = [{"type": "text", "text": "q"}, {"type": "text", "text": "still?"}]
    assert body["messages"] == [
        {"role": "user", "content": text},
        {"role": "assistant", "content": [{"type": "text", "text": "a"}] * 2},
        {"role": "user", "content": "q"},
    ]


def call(ident: str = "a", arguments: str = "{}") -> Message:
    """A turn of one call."""
    return Message("assistant", (ToolCallPart(ident, "add", arguments),))


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"temperature": 0.0}, "temperature"),
        ({"top_p": 0.5}, "top_p"),
        ({"options": {"rate": 1}}, "options.rate"),
        ({"stop": ("a", "\n")}, "stop[1]"),
        ({"response_format": JsonFormat()}, "response_format.schema"),
        ({"response_format": JsonFormat({"properties": {}})}, "response_format.schema"),
        ({"response_format": JsonFormat({"type": ["string", "null"]})}, "response_format.schema"),
        ({"tools": (Tool("a"), Tool("a"))}, "tools"),
        ({"tools": (Tool("web_search"),), "provider_tools": (SEARCH,)}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": NamedTool("a"), "tools": (Tool("b"),)}, "tool_choice.name"),
    ],
)
def test_an_option_it_cannot_honour_is_refused_by_name(options: dict[str, Any], field: str) -> None:
    """What the API has no place for is an error that names it, before anything is started."""
    assert refused(USER, **options) == ("bad_request", field)


@pytest.mark.parametrize(
    ("turns", "field"),
    [
        ((call(arguments="[]"),), "messages[0].content[0].arguments"),
        ((call(arguments="{"),), "messages[0].content[0].arguments"),
        ((call("a.b"),), "messages[0].content[0].call"),
        ((USER, call()), "messages[1].content[0]"),
        ((USER, call(), USER), "messages[1].content[0]"),
        ((USER, call(), USER, Message("tool", "1", call="a")), "messages[1].content[0]"),
        ((USER, call(), Message("tool", "1", call="b")), "messages[2].call"),
        ((USER, call(), Message("tool", "1", call="a"), Message("tool", "2", call="a")), "messages[3].call"),
        ((USER, Message("tool", "1", call="a")), "messages[1].call"),
        ((USER, call(), Message("tool", "1", call="a"), call()), "messages[3].content[0].call"),
        ((USER, call(), Message("tool", " ", call="a", is_error=True)), "messages[2].content"),
        ((USER, Message("assistant", "So: ")), "messages[1].content"),
        (
            (Message("user", (ImagePart(data=PNG, media_type="image/png", detail="low"),)),),
            "messages[0].content[0].detail",
        ),
        ((Message("user", (FilePart(data=PDF, media_type="audio/wav"),)),), "messages[0].content[0].media_type"),
        (
            (Message("user", (FilePart(url="https://a.example", media_type="text/plain"),)),),
            "messages[0].content[0].media_type",
        ),
    ],
)
def test_what_the_api_would_refuse_is_refused_before(turns: tuple[Message, ...], field: str) -> None:
    """With the path of the caller's own field, where the API would name one of a body the caller never saw."""
    assert refused(*turns) == ("bad_request", field)


def test_places_are_those_of_the_request() -> None:
    """A system message that became the system text is counted in."""
    assert refused(USER, call(), skipped=1) == ("bad_request", "messages[2].content[0]")


def test_the_sizes_that_the_api_takes() -> None:
    """An image of exactly 10 MiB of base64 may be sent, and all of them together may be 32 MiB."""
    whole = ImagePart(data="A" * 10_485_760, media_type="image/png")
    larger = ImagePart(data="A" * 10_485_764, media_type="image/png")
    check(Prompt("m", (Message("user", (whole,) * 3),)))
    assert refused(Message("user", (TextPart("a"), larger))) == ("too_large", "messages[0].content[1].data")
    assert refused(Message("user", (whole,) * 4)) == ("too_large", "messages")
