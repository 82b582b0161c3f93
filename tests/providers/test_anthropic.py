"""Messages over a real socket: what is asked, what is heard, and how a stream may end."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest

from realtime.errors import RealtimeError
from realtime.events import Extra, Reasoning, Refusal, Source, Text, ToolArguments, ToolCall, ToolResult, Usage
from realtime.policy import Deadlines
from realtime.prompt import JsonFormat, Message, NamedTool, Prompt, ReasoningPart, TextPart, Tool, ToolCallPart
from realtime.providers.anthropic import AnthropicProvider
from realtime.providers.base import Ended

from ..upstream import FIN, RESET, STALL, Reply, Upstream, Wait, cut, messages
from .heard import HELLO, hear

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


async def test_a_whole_stream(upstream: Upstream, provider: AnthropicProvider) -> None:
    """The input is known early, text arrives in order, then the last word on usage, then the end."""
    upstream.reply = Reply(messages.text("Hel", "lo"))
    heard = await hear(provider)
    assert heard.events == [Text("Hel"), Text("lo")]
    early, final = heard.usage
    assert early == Usage(18, 1, cached_input_tokens=5, cache_write_input_tokens=3, estimated=True)
    assert final == Usage(18, 7, cached_input_tokens=5, cache_write_input_tokens=3)
    assert heard.batches[-1] == [Ended("stop", "end_turn")]
    assert heard.error is None


async def test_the_request(upstream: Upstream, provider: AnthropicProvider) -> None:
    """The upstream is asked for a stream, with our key and the limit that the API demands."""
    upstream.reply = Reply(messages.text("x"))
    await hear(provider)
    (exchange,) = upstream.exchanges
    assert (exchange.method, exchange.path) == ("POST", "/v1/messages")
    assert KEY in exchange.headers["authorization"] + exchange.headers.get("x-api-key", "")
    assert exchange.headers["accept-encoding"] == "identity"
    asked = [{"role": "user", "content": "Hello?"}]
    assert exchange.body == {"model": "scripted", "messages": asked, "max_tokens": 4096, "stream": True}


async def test_every_option_is_mapped(upstream: Upstream, provider: AnthropicProvider) -> None:
    """Each option of a prompt has its place in the request, and results of one turn's calls share a message."""
    upstream.reply = Reply(messages.text("x"))
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    sealed = ReasoningPart("hm", signature="seal")
    turn = (sealed, ReasoningPart("unsealed"), ReasoningPart(redacted="xyz"), TextPart("c"), TextPart(""))
    calls = (ToolCallPart("a", "add", '{"n":1}'), ToolCallPart("b", "add", ""))
    prompt = Prompt(
        "m",
        (
            Message("user", "q"),
            Message("assistant", turn + calls),
            Message("tool", "2", call="a"),
            Message("tool", (TextPart("bad"),), call="b", is_error=True),
            Message("user", "and?"),
        ),
        system="Be brief.",
        max_tokens=9,
        stop=("END",),
        tools=(Tool("add", "Adds.", schema),),
        tool_choice="required",
        response_format=JsonFormat(schema),
    )
    provider.check(prompt)
    await hear(provider, prompt)
    body = upstream.exchanges[0].body
    _, said, results, _ = body["messages"]
    assert said["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "seal"},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "c"},
        {"type": "tool_use", "id": "a", "name": "add", "input": {"n": 1}},
        {"type": "tool_use", "id": "b", "name": "add", "input": {}},
    ]
    failed = {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "bad"}], "is_error": True}
    assert results == {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": "a", "content": "2"}, failed],
    }
    assert (body["system"], body["max_tokens"], body["stop_sequences"]) == ("Be brief.", 9, ["END"])
    assert body["tools"] == [{"name": "add", "description": "Adds.", "input_schema": schema}]
    assert body["tool_choice"] == {"type": "any"}
    closed = schema | {"additionalProperties": False}
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": closed}}


async def test_a_named_tool(upstream: Upstream, provider: AnthropicProvider) -> None:
    """One tool can be demanded by name."""
    upstream.reply = Reply(messages.text("x"))
    await hear(provider, Prompt("m", HELLO.messages, tools=(Tool("add"),), tool_choice=NamedTool("add")))
    assert upstream.exchanges[0].body["tool_choice"] == {"type": "tool", "name": "add"}


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"temperature": 0.0}, "temperature"),
        ({"top_p": 0.5}, "top_p"),
        ({"options": {"rate": 1}}, "options.rate"),
        ({"response_format": JsonFormat()}, "response_format.schema"),
        ({"response_format": JsonFormat({"properties": {}})}, "response_format.schema"),
        ({"response_format": JsonFormat({"type": ["string", "null"]})}, "response_format.schema"),
        ({"messages": (Message("assistant", (ToolCallPart("a", "add", "[]"),)),)}, "messages[0].content"),
        ({"messages": (Message("assistant", (ToolCallPart("a", "add", "{"),)),)}, "messages[0].content"),
    ],
)
async def test_what_it_cannot_honour_is_refused_by_name(
    provider: AnthropicProvider, asked: dict[str, Any], field: str
) -> None:
    """What the API has no place for is an error that names it, before anything is started."""
    given: dict[str, Any] = {"model": "m", "messages": HELLO.messages} | asked
    with pytest.raises(RealtimeError) as raised:
        provider.check(Prompt(**given))
    assert (raised.value.code, raised.value.error.field) == ("bad_request", field)


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


async def test_a_ping_is_a_sign_of_life(upstream: Upstream, provider: AnthropicProvider) -> None:
    """A ping gives an empty batch at once."""
    go = asyncio.Event()
    upstream.reply = Reply([messages.event("ping"), Wait(go), *messages.text("x")])
    async with provider.open(HELLO, Deadlines()) as stream:
        assert await anext(stream) == []
        go.set()
        rest = [item async for batch in stream for item in batch]
    assert Text("x") in rest


async def test_half_a_character_does_not_fail_the_stream(upstream: Upstream, provider: AnthropicProvider) -> None:
    """An emoji cut in two becomes U+FFFD and the rest is whole."""
    half = b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a\\ud83d"}}\n\n'
    upstream.reply = block(messages.begin(0, "text", text=""), half, messages.delta(0, "text_delta", text="b"))
    assert (await hear(provider)).message.text == "a\ufffdb"


@pytest.mark.parametrize("place", [1, 20, 333, 334, 500])
async def test_bytes_cut_anywhere(upstream: Upstream, provider: AnthropicProvider, place: int) -> None:
    """Where the network cuts the bytes changes nothing."""
    upstream.reply = Reply(cut(b"".join(messages.text("a", "😀", "c")), place, place + 1))
    heard = await hear(provider)
    assert (heard.message.text, len(heard.ended)) == ("a😀c", 1)


async def test_equal_to_the_sdk(upstream: Upstream, provider: AnthropicProvider) -> None:
    """Text, calls, reason and usage are what the official SDK accumulates from the same bytes."""
    said = [messages.begin(0, "text", text=""), messages.delta(0, "text_delta", text="a\u2028b"), messages.stop(0)]
    upstream.reply = block(*said, *messages.tool(1, "t", "add", '{"n"', ":1}"), reason="tool_use")
    heard = await hear(provider)
    async with anthropic.AsyncAnthropic(api_key=KEY, base_url=upstream.url) as client:
        asked: Any = [{"role": "user", "content": "Hello?"}]
        async with client.messages.stream(model="m", max_tokens=9, messages=asked) as stream:
            whole = await stream.get_final_message()
    text, call = whole.content
    assert isinstance(text, anthropic.types.TextBlock)
    assert isinstance(call, anthropic.types.ToolUseBlock)
    assert heard.message.text == text.text
    part = heard.message.content[1]
    assert (part["call"], part["name"], part["arguments"]) == (call.id, call.name, '{"n":1}')
    assert call.input == {"n": 1}
    assert heard.ended[0].native_reason == whole.stop_reason
    assert heard.usage[-1].output_tokens == whole.usage.output_tokens


async def test_an_end_without_message_stop_is_no_end(upstream: Upstream, provider: AnthropicProvider) -> None:
    """A body that ends cleanly in mid-message, even behind the stop reason, has no `Ended`."""
    for steps in (messages.text("x", whole=False), messages.text("x")[:-1]):
        upstream.reply = Reply(steps)
        heard = await hear(provider)
        assert (heard.events, heard.ended, heard.error) == ([Text("x")], [], None)


@pytest.mark.parametrize("how", [FIN, RESET])
async def test_a_connection_lost_on_the_way(upstream: Upstream, provider: AnthropicProvider, how: Any) -> None:
    """What came before the loss was said; the loss is an error."""
    upstream.reply = Reply([*messages.text("x", whole=False), how])
    heard = await hear(provider)
    assert (heard.events, heard.ended, heard.code) == ([Text("x")], [], "upstream_truncated")


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


async def test_a_stop_closes_the_upstream(upstream: Upstream, provider: AnthropicProvider) -> None:
    """Leaving the context in mid-stream closes the upstream connection."""
    upstream.reply = Reply([*messages.text("x", whole=False), STALL])
    async with provider.open(HELLO, Deadlines()) as stream:
        await anext(stream)
        exchange = await upstream.next_exchange()
        await exchange.stalled.wait()
    await exchange.closed.wait()
    assert not exchange.answered.is_set()


@pytest.mark.parametrize(
    "reply",
    [Reply(before=[STALL]), Reply([STALL]), Reply([messages.start(), STALL])],
    ids=["before headers", "before the body", "before a token"],
)
async def test_a_cancelled_reader_closes_the_upstream(
    upstream: Upstream, provider: AnthropicProvider, reply: Reply
) -> None:
    """A stop before the first token, even before the headers, closes the upstream connection."""
    upstream.reply = reply
    task = asyncio.create_task(hear(provider))
    exchange = await upstream.next_exchange()
    await exchange.stalled.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await exchange.closed.wait()


async def test_models(upstream: Upstream, provider: AnthropicProvider) -> None:
    """The names are asked for once and kept."""
    upstream.reply = Reply.json(messages.models("small", "large"))
    assert await provider.models() == ("small", "large")
    assert await provider.models() == ("small", "large")
    assert [exchange.path for exchange in upstream.exchanges] == ["/v1/models?limit=1000"]
