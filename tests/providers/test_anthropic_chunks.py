"""What the events of a Messages stream mean."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from realtime.events import Extra, Reasoning, Refusal, Source, Text, ToolArguments, ToolCall, ToolResult, Usage
from realtime.providers.anthropic import AnthropicProvider
from realtime.providers.base import Ended

from ..upstream import Reply, Upstream, messages
from .heard import hear

KEY = "sk-ant-test-0123456789"


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as server:
        yield server


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
