"""What the events of a Messages stream mean."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from realtime.errors import RealtimeError
from realtime.events import Extra, File, Reasoning, Refusal, Source, Text, ToolArguments, ToolCall, ToolResult, Usage
from realtime.providers.anthropic import AnthropicProvider
from realtime.providers.anthropic_chunks import MessagesTranslator
from realtime.providers.base import Ended
from realtime.providers.event_stream import ServerEvent, Splitter

from ..upstream import Reply, Upstream, messages
from .heard import hear

KEY = "sk-ant-test-0123456789"


@pytest.fixture
async def provider(upstream: Upstream) -> AsyncIterator[AnthropicProvider]:
    made = AnthropicProvider(KEY, upstream.url)
    yield made
    await made.close()


def block(*events: bytes, reason: str = "end_turn", **more: Any) -> Reply:
    """A whole stream around `events`."""
    return Reply([messages.start(), *events, *messages.end(reason, **more)])


async def test_thinking_and_its_seal(upstream: Upstream, provider: AnthropicProvider) -> None:
    """Thinking, its signature and redacted thinking are reasoning, each under the number of its block."""
    upstream.reply = block(
        messages.begin(0, "thinking", thinking="", signature=""),
        messages.delta(0, "thinking_delta", thinking="hm"),
        messages.delta(0, "signature_delta", signature="seal"),
        messages.stop(0),
        messages.begin(1, "redacted_thinking", data="xyz"),
        messages.stop(1),
    )
    heard = await hear(provider)
    assert heard.events == [
        Reasoning("hm"),
        Reasoning("", signature="seal"),
        Reasoning("", part=1, redacted="xyz"),
    ]
    assert heard.message.content[0] == {"type": "reasoning", "text": "hm", "signature": "seal"}


async def test_tool_calls(upstream: Upstream, provider: AnthropicProvider) -> None:
    """Arguments come in fragments, not at all for a tool that takes none, or whole where the block begins."""
    upstream.reply = block(
        *messages.tool(0, "a", "add", "", '{"n"', ":1}"),
        *messages.tool(1, "b", "now", ""),
        messages.begin(2, "tool_use", id="c", name="add", input={"n": 2}),
        messages.stop(2),
        reason="tool_use",
    )
    heard = await hear(provider)
    assert heard.events == [
        ToolCall("a", "add"),
        ToolArguments('{"n"', call="a"),
        ToolArguments(":1}", call="a"),
        ToolCall("b", "now", part=1),
        ToolArguments("{}", call="b"),
        ToolCall("c", "add", part=2),
        ToolArguments('{"n":2}', call="c"),
    ]
    assert heard.ended == [Ended("tool_calls", "tool_use")]


async def test_tools_the_provider_runs(upstream: Upstream, provider: AnthropicProvider) -> None:
    """A server tool's call is marked as such and its result follows, an error by the type of its content."""
    found = [{"type": "web_search_result", "url": "https://a.example"}]
    failed = {"type": "web_fetch_tool_result_error", "error_code": "unavailable"}
    upstream.reply = block(
        *messages.tool(0, "s1", "web_search", '{"query":"x"}', kind="server_tool_use"),
        messages.begin(1, "web_search_tool_result", tool_use_id="s1", content=found),
        messages.stop(1),
        messages.begin(2, "web_fetch_tool_result", tool_use_id="s2", content=failed),
        messages.stop(2),
    )
    assert (await hear(provider)).events == [
        ToolCall("s1", "web_search", provider_run=True),
        ToolArguments('{"query":"x"}', call="s1"),
        ToolResult("s1", found),
        ToolResult("s2", failed, is_error=True),
    ]


async def test_citations(upstream: Upstream, provider: AnthropicProvider) -> None:
    """A citation is a source of its part, with all the provider said about it."""
    web = {"type": "web_search_result_location", "url": "https://a.example", "title": "A", "cited_text": "x"}
    page = {"type": "page_location", "document_title": "B", "start_page_number": 1}
    upstream.reply = block(
        messages.begin(0, "text", text="", citations=[]),
        messages.delta(0, "citations_delta", citation=web),
        messages.delta(0, "citations_delta", citation=page),
        messages.stop(0),
    )
    assert (await hear(provider)).events == [
        Source(url="https://a.example", title="A", detail=web),
        Source(title="B", detail=page),
    ]


async def test_what_has_no_type_here_is_passed_on(upstream: Upstream, provider: AnthropicProvider) -> None:
    """New block and delta types become `extra`; new events are ignored, as the API asks of its clients."""
    upstream.reply = block(
        messages.begin(0, "hologram", text={"not": "text"}),
        messages.delta(0, "light_delta", photons=3),
        messages.stop(0),
        messages.event("weather_report", mood="fine"),
    )
    assert (await hear(provider)).events == [
        Extra("hologram", {"type": "hologram", "text": {"not": "text"}}),
        Extra("light_delta", {"type": "light_delta", "photons": 3}),
    ]


@pytest.mark.parametrize(
    ("native", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("pause_turn", "pause"),
        ("refusal", "refusal"),
        ("brand_new", "other"),
        (None, "other"),
    ],
)
async def test_reasons(upstream: Upstream, provider: AnthropicProvider, native: str, reason: str) -> None:
    """Every reason has one of ours beside it."""
    upstream.reply = block(reason=native)
    assert [(end.reason, end.native_reason) for end in (await hear(provider)).ended] == [(reason, native)]


async def test_an_explained_refusal(upstream: Upstream, provider: AnthropicProvider) -> None:
    """The provider's words for why it will not answer are a refusal."""
    upstream.reply = block(reason="refusal", stop_details={"type": "refusal", "explanation": "No."})
    heard = await hear(provider)
    assert heard.events == [Refusal("No.")]
    assert heard.ended == [Ended("refusal", "refusal")]


async def test_thinking_tokens(upstream: Upstream, provider: AnthropicProvider) -> None:
    """Thinking is counted among the output, and told apart where the provider does."""
    usage = {"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}}
    ended = messages.event("message_delta", delta={"stop_reason": "end_turn"}, usage=usage)
    upstream.reply = Reply([messages.start({"input_tokens": 2, "output_tokens": 1}), ended, messages.end()[1]])
    assert (await hear(provider)).usage[-1] == Usage(2, 9, reasoning_tokens=4)


async def test_an_error_in_the_stream(upstream: Upstream, provider: AnthropicProvider) -> None:
    """What came before the error in the same read was said; then the error is ours."""
    upstream.reply = Reply([b"".join([*messages.text("x", whole=False), messages.error()])])
    heard = await hear(provider)
    assert (heard.events, heard.code) == ([Text("x")], "upstream_overloaded")


async def test_arguments_of_no_call(upstream: Upstream, provider: AnthropicProvider) -> None:
    """Arguments of something that is no tool call here are passed on with it."""
    delta = {"type": "input_json_delta", "partial_json": "{}"}
    upstream.reply = block(messages.begin(0, "spell"), messages.delta(0, "input_json_delta", partial_json="{}"))
    assert (await hear(provider)).events == [Extra("spell", {"type": "spell"}), Extra("input_json_delta", delta)]


@pytest.mark.parametrize("begun", [{"type": "text", "text": 3}, {"type": "tool_use", "id": None}, {}, "text"])
async def test_a_block_that_is_none(upstream: Upstream, provider: AnthropicProvider, begun: Any) -> None:
    """A known block with unknown fields, or no block at all, is not the provider's protocol."""
    upstream.reply = block(messages.event("content_block_start", index=0, content_block=begun))
    assert (await hear(provider)).code == "upstream_protocol"


async def test_blocks_that_begin_with_content(upstream: Upstream, provider: AnthropicProvider) -> None:
    """Servers that send a block whole, where it begins, are heard too, half characters included."""
    whole = messages.begin(1, "text", text="a\ud83d", citations=[{"type": "char_location"}])
    upstream.reply = block(
        messages.begin(0, "thinking", thinking="hm", signature="seal"),
        messages.stop(0),
        whole,
        messages.delta(1, "text_delta", text=""),
        messages.stop(1),
    )
    assert (await hear(provider)).events == [
        Reasoning("hm", signature="seal"),
        Text("a\ufffd", part=1),
        Source(part=1, detail={"type": "char_location"}),
    ]


async def test_a_server_without_usage(upstream: Upstream, provider: AnthropicProvider) -> None:
    """Usage that is left out is not invented; the session estimates."""
    ended = messages.event("message_delta", delta={"stop_reason": "end_turn"})
    upstream.reply = Reply([messages.event("message_start", message={}), b"data:\n\n", ended, messages.end()[1]])
    heard = await hear(provider)
    assert (heard.usage, heard.ended) == ([], [Ended("stop", "end_turn")])


def taken(*steps: bytes) -> tuple[list[Any], MessagesTranslator]:
    """What a translator makes of such events, without a socket."""
    translator, batch = MessagesTranslator(), list[Any]()
    for event in Splitter().feed(b"".join(steps)):
        translator.take(event, batch)
    return batch, translator


def test_calls_whose_blocks_never_end() -> None:
    """A call that its server forgets to end takes its arguments all the same, at the end or when the next begins."""
    begun = [messages.begin(0, "tool_use", id=name, name=name, input={}) for name in ("a", "b")]
    batch, _ = taken(*begun, messages.begin(1, "tool_use", id="c", name="c", input={"n": 1}), *messages.end())
    assert {event.call: event.text for event in batch if isinstance(event, ToolArguments)} == {
        "a": "{}",
        "b": "{}",
        "c": '{"n":1}',
    }


def test_ids_that_are_missing_or_repeated() -> None:
    """Two calls stay two, whatever their server calls them."""
    blocks = [messages.begin(index, "tool_use", id=call, name="add") for index, call in enumerate(["", "x", "x"])]
    batch, _ = taken(*blocks)
    assert [event.call for event in batch] == ["call_0", "x", "x_2"]


def test_arguments_that_are_text() -> None:
    """A server that gives the whole input as JSON text is taken at its word."""
    batch, _ = taken(messages.begin(0, "tool_use", id="a", name="add", input='{"n": 1}'), messages.stop(0))
    assert batch[-1] == ToolArguments('{"n": 1}', call="a")


@pytest.mark.parametrize(
    "kind",
    [
        "web_search",
        "web_fetch",
        "code_execution",
        "bash_code_execution",
        "text_editor_code_execution",
        "tool_search",
        "mcp",
        "brand_new",
    ],
)
def test_results_of_every_tool_that_the_provider_runs(kind: str) -> None:
    """Each kind of result is one, and those of tools that do not exist yet are too."""
    content = {"type": f"{kind}_result", "value": 1}
    batch, translator = taken(messages.begin(0, f"{kind}_tool_result", tool_use_id="s1", content=content))
    assert (batch, translator.unknown) == ([ToolResult("s1", content)], {})


def test_files_of_code_that_ran() -> None:
    """Files that code made, or that were put into its container, are named by their ids."""
    batch, _ = taken(*messages.dialects()["code that ran"])
    assert [event.name for event in batch if isinstance(event, File)] == ["file_1", "file_2"]
    assert Extra("container", {"id": "container_1", "expires_at": "2026-01-01T00:00:00Z"}) in batch


def test_what_the_end_has_beside_its_reason() -> None:
    """Why it refused, what its context lost and how often its tools were asked go on; what says nothing does not."""
    details = {"type": "refusal", "category": "cyber", "explanation": "No.", "recommended_model": None}
    delta = {"stop_reason": "refusal", "stop_details": details}
    asked = {"output_tokens": 2, "server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 0}}
    edits = {"applied_edits": [{"type": "clear_thinking_20251015"}]}
    batch, _ = taken(messages.event("message_delta", delta=delta, usage=asked, context_management=edits))
    assert batch == [
        Refusal("No."),
        Extra("stop_details", {"type": "refusal", "category": "cyber", "explanation": "No."}),
        Extra("context_management", edits),
        Usage(0, 2),
        Extra("server_tool_use", {"web_search_requests": 3, "web_fetch_requests": 0}),
    ]
    nothing = {"output_tokens": 2, "server_tool_use": {"web_search_requests": 0}}
    batch, _ = taken(messages.event("message_delta", usage=nothing, context_management={"applied_edits": []}))
    assert batch == [Usage(0, 2)]


def test_figures_are_cumulative() -> None:
    """What a later event leaves out was said by an earlier one, and what it says replaces that."""
    first = {"input_tokens": 10, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 3, "output_tokens": 1}
    steps = [messages.start(first), messages.event("message_delta", usage={"input_tokens": 40, "output_tokens": 9})]
    batch, _ = taken(*steps, messages.event("message_delta", usage={"output_tokens": "odd"}))
    assert batch == [Usage(18, 1, 5, 3, estimated=True), Usage(48, 9, 5, 3)]


def test_what_is_unknown_is_counted() -> None:
    """New events are counted and new blocks and deltas too, whatever their fields hold."""
    batch, translator = taken(
        messages.event("weather_report", index="odd", delta="odd"),
        messages.event("weather_report", mood="fine"),
        messages.begin(0, "hologram", light=1),
        messages.event("content_block_delta", index=0, delta={"type": "light_delta", "text": {"not": "text"}}),
        messages.event("ping"),
    )
    assert [event.kind for event in batch] == ["hologram", "light_delta"]
    assert translator.unknown == {"weather_report": 2, "hologram": 1, "light_delta": 1}


def test_a_type_that_only_the_name_of_the_event_tells() -> None:
    """Servers that leave the type out of the data have it in the event's name; errors too."""
    ended, batch = MessagesTranslator(), list[Any]()
    ended.take(ServerEvent(b"message_delta", b'{"delta":{"stop_reason":"end_turn"}}'), batch)
    ended.take(ServerEvent(b"message_stop", b"{}"), batch)
    assert ended.ended == Ended("stop", "end_turn")
    with pytest.raises(RealtimeError) as raised:
        MessagesTranslator().take(ServerEvent(b"", b'{"error":{"type":"rate_limit_error"}}'), [])
    assert raised.value.code == "upstream_rate_limited"


@pytest.mark.parametrize(
    "data",
    [
        b'{"type":"content_block_delta","index":-1,"delta":{"type":"text_delta","text":"x"}}',
        b'{"type":"content_block_delta","index":99999999999,"delta":{"type":"new","text":"x"}}',
        b'{"type":"content_block_delta","delta":{"type":"text_delta","text":7}}',
        b'{"type":"ping","x":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"type":7}',
        b"[]",
        b"{",
    ],
)
def test_what_is_no_event(data: bytes) -> None:
    """What cannot be read as an event, or is nested beyond all meaning, is said to be none."""
    with pytest.raises(RealtimeError) as raised:
        MessagesTranslator().take(ServerEvent(b"", data), [])
    assert raised.value.code == "upstream_protocol"


def test_what_is_passed_on_can_be_carried() -> None:
    """Numbers beyond 64 bits, half characters and bottomless values are cut to what every wire can carry."""
    deep = b"[" * 100 + b"1" + b"]" * 100
    block = b'{"type":"hologram","n":' + b"9" * 30 + b',"s":"\\ud83d","inf":NaN,"deep":' + deep + b"}"
    event = ServerEvent(b"", b'{"type":"content_block_start","index":0,"content_block":' + block + b"}")
    batch = list[Any]()
    MessagesTranslator().take(event, batch)
    value = batch[0].value
    assert (value["n"], value["s"], value["inf"]) == (1e30, "\ufffd", None)
    assert str(value["deep"]) == "[" * 31 + "None" + "]" * 31
