"""What the chunks of Chat Completions mean, in every dialect that was met."""

from collections.abc import AsyncIterator

import pytest

from realtime.events import Extra, Reasoning, Refusal, Source, Text, ToolArguments, ToolCall, Usage
from realtime.providers.base import Ended
from realtime.providers.openai import OpenAIProvider

from ..upstream import Reply, Upstream, chat
from .heard import hear

KEY = "sk-test-0123456789"


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as server:
        yield server


@pytest.fixture
async def provider(upstream: Upstream) -> AsyncIterator[OpenAIProvider]:
    made = OpenAIProvider(KEY, f"{upstream.url}/v1")
    yield made
    await made.close()


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_reasoning_in_either_dialect(upstream: Upstream, provider: OpenAIProvider, field: str) -> None:
    """Reasoning is told apart from the answer under both names it goes by."""
    upstream.reply = Reply([chat.chunk({field: "hm"}), *chat.text("so")])
    assert (await hear(provider)).events == [Reasoning("hm"), Text("so")]


async def test_reasoning_under_both_names_is_said_once(upstream: Upstream, provider: OpenAIProvider) -> None:
    """Servers in transition send the same text under both names."""
    upstream.reply = Reply([chat.chunk({"reasoning_content": "hm", "reasoning": "hm"}), *chat.text("so")])
    assert (await hear(provider)).events == [Reasoning("hm"), Text("so")]


async def test_a_refusal(upstream: Upstream, provider: OpenAIProvider) -> None:
    """The words of a refusal are no text, and the reason for the end is the refusal."""
    upstream.reply = Reply([chat.chunk({"refusal": "No."}), *chat.text()])
    heard = await hear(provider)
    assert heard.events == [Refusal("No.")]
    assert heard.ended == [Ended("refusal", "stop")]


async def test_tool_calls_in_fragments(upstream: Upstream, provider: OpenAIProvider) -> None:
    """Interleaved fragments of two calls are two calls, each begun once and with all its arguments."""
    steps = [
        chat.tool(0, "call_a", "add", ""),
        chat.tool(0, None, None, '{"n"'),
        chat.tool(1, "call_b", "sub", '{"m"'),
        chat.tool(0, "", None, ":1}"),
        chat.tool(1, None, None, ":2}"),
        chat.chunk(finish="tool_calls"),
        chat.usage(),
        chat.DONE,
    ]
    upstream.reply = Reply(steps)
    heard = await hear(provider)
    assert heard.events == [
        ToolCall("call_a", "add"),
        ToolArguments('{"n"', call="call_a"),
        ToolCall("call_b", "sub"),
        ToolArguments('{"m"', call="call_b"),
        ToolArguments(":1}", call="call_a"),
        ToolArguments(":2}", call="call_b"),
    ]
    assert heard.ended == [Ended("tool_calls", "tool_calls")]


async def test_whole_tool_calls_all_numbered_zero(upstream: Upstream, provider: OpenAIProvider) -> None:
    """Servers that send each call in one chunk and number all of them 0 are understood."""
    steps = [chat.tool(0, "a", "add", "{}"), chat.tool(0, "b", "add", '{"n":1}'), chat.chunk(finish="tool_calls")]
    upstream.reply = Reply([*steps, chat.DONE])
    assert (await hear(provider)).events == [
        ToolCall("a", "add"),
        ToolArguments("{}", call="a"),
        ToolCall("b", "add"),
        ToolArguments('{"n":1}', call="b"),
    ]


async def test_tool_calls_without_ids_or_numbers(upstream: Upstream, provider: OpenAIProvider) -> None:
    """Missing ids are made up, the same ones every time, and a new name begins a new call."""
    fragments = [{"function": {"name": name, "arguments": "{}"}} for name in ("add", "sub")]
    steps = [chat.chunk({"tool_calls": [fragment]}) for fragment in fragments]
    upstream.reply = Reply([*steps, chat.chunk(finish="tool_calls"), chat.DONE])
    begun = [event for event in (await hear(provider)).events if isinstance(event, ToolCall)]
    assert begun == [ToolCall("call_0", "add"), ToolCall("call_1", "sub")]


async def test_two_calls_with_one_id_stay_two(upstream: Upstream, provider: OpenAIProvider) -> None:
    """A server that repeats an id does not merge two calls into one."""
    steps = [chat.tool(0, "x", "add", "{}"), chat.tool(1, "x", "sub", "{}"), chat.chunk(finish="tool_calls")]
    upstream.reply = Reply([*steps, chat.DONE])
    begun = [event for event in (await hear(provider)).events if isinstance(event, ToolCall)]
    assert begun == [ToolCall("x", "add"), ToolCall("x_1", "sub")]


async def test_arguments_before_the_name(upstream: Upstream, provider: OpenAIProvider) -> None:
    """A call begins when its name is known, with whatever arguments came before."""
    steps = [chat.tool(0, "x", None, "{"), chat.tool(0, None, "add", "}"), chat.chunk(finish="tool_calls")]
    upstream.reply = Reply([*steps, chat.DONE])
    assert (await hear(provider)).events == [ToolCall("x", "add"), ToolArguments("{}", call="x")]


async def test_a_function_call_of_old(upstream: Upstream, provider: OpenAIProvider) -> None:
    """The deprecated `function_call` is a tool call."""
    steps = [chat.chunk({"function_call": {"name": "add", "arguments": "{}"}}), chat.chunk(finish="function_call")]
    upstream.reply = Reply([*steps, chat.DONE])
    heard = await hear(provider)
    assert heard.events == [ToolCall("call_0", "add"), ToolArguments("{}", call="call_0")]
    assert heard.ended == [Ended("tool_calls", "function_call")]


async def test_citations_and_parts(upstream: Upstream, provider: OpenAIProvider) -> None:
    """Citations are sources, content in parts is taken apart, and what has no type here is passed on."""
    cited = {"type": "url_citation", "url_citation": {"url": "https://a.example", "title": "A"}}
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "so"}]
    steps = [chat.chunk({"content": [*parts, {"type": "blob", "x": 1}]}), chat.chunk({"annotations": [cited]})]
    upstream.reply = Reply([*steps, *chat.text()])
    thinking, said, blob, source = (await hear(provider)).events
    assert (thinking, said) == (Reasoning("hm"), Text("so"))
    assert (blob.kind, blob.value) == ("blob", {"type": "blob", "x": 1})
    assert source == Source(url="https://a.example", title="A", detail=cited)


async def test_parts_of_the_wire_without_a_type_here(upstream: Upstream, provider: OpenAIProvider) -> None:
    """Pictures of no form we know, other annotations and content that is no part are passed on or left out."""
    steps = [
        chat.chunk({"content": ["?", {"type": "text", "text": "so"}]}),
        chat.chunk({"annotations": [{"type": "file_citation"}]}),
        chat.chunk({"images": [{"type": "image_url"}], "audio": [1]}),
    ]
    upstream.reply = Reply([*steps, *chat.text()])
    assert (await hear(provider)).events == [
        Text("so"),
        Extra("annotation", {"type": "file_citation"}),
        Extra("images", {"type": "image_url"}),
        Extra("audio", [1]),
    ]


@pytest.mark.parametrize(
    ("native", "reason"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("model_length", "length"),
        ("brand_new", "other"),
    ],
)
async def test_reasons(upstream: Upstream, provider: OpenAIProvider, native: str, reason: str) -> None:
    """Every reason has one of ours beside it."""
    upstream.reply = Reply(chat.text("x", finish=native))
    assert [(end.reason, end.native_reason) for end in (await hear(provider)).ended] == [(reason, native)]


async def test_a_failure_told_as_a_reason(upstream: Upstream, provider: OpenAIProvider) -> None:
    """A server that gives up half-way and says so in `finish_reason` has not completed."""
    upstream.reply = Reply(chat.text("x", finish="insufficient_system_resource"))
    heard = await hear(provider)
    assert heard.events == [Text("x")]
    assert (heard.code, heard.ended) == ("upstream_overloaded", [])


async def test_usage_in_odd_places(upstream: Upstream, provider: OpenAIProvider) -> None:
    """Usage on the last chunk, inside the choice, or only ahead of the end is usage all the same."""
    figures = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    last = {"index": 0, "delta": {}, "finish_reason": "stop", "usage": figures}
    for steps in (
        [chat.chunk(finish="stop", usage=figures)],
        [chat.event(chat.envelope([last]))],
        [chat.usage(figures), chat.chunk(finish="stop")],
    ):
        upstream.reply = Reply([chat.chunk({"content": "x"}), *steps, chat.DONE])
        heard = await hear(provider)
        assert heard.usage[-1] == Usage(3, 2)
        assert len(heard.ended) == 1


async def test_reasoning_tokens_beside_the_completion(upstream: Upstream, provider: OpenAIProvider) -> None:
    """Where the sum shows that reasoning is not among the completion tokens, it is added: it is paid for."""
    figures = {"prompt_tokens": 12, "completion_tokens": 2, "total_tokens": 354}
    figures_and_more = figures | {"completion_tokens_details": {"reasoning_tokens": 340}}
    upstream.reply = Reply([chat.chunk(finish="stop"), chat.usage(figures_and_more), chat.DONE])
    assert (await hear(provider)).usage == [Usage(12, 342, reasoning_tokens=340)]


async def test_usage_that_is_none(upstream: Upstream, provider: OpenAIProvider) -> None:
    """Figures that are no figures do not end a generation; the session estimates."""
    upstream.reply = Reply([chat.chunk({"content": "x"}), chat.chunk(finish="stop"), chat.usage({"prompt_tokens": []})])
    heard = await hear(provider)
    assert (heard.usage, len(heard.ended), heard.error) == ([], 1, None)


async def test_other_choices_are_not_ours(upstream: Upstream, provider: OpenAIProvider) -> None:
    """One choice is asked for: an empty second one is nothing, and one with words in it a failure that says so."""
    second = {"index": 1, "delta": {}, "finish_reason": "length"}
    upstream.reply = Reply([chat.event(chat.envelope([second])), *chat.text("x")])
    heard = await hear(provider)
    assert (heard.events, heard.ended) == ([Text("x")], [Ended("stop", "stop")])
    second["delta"] = {"content": "other"}
    upstream.reply = Reply([chat.event(chat.envelope([second])), *chat.text("x")])
    heard = await hear(provider)
    assert (heard.code, heard.ended) == ("upstream_protocol", [])
    assert heard.error is not None
    assert "second choice" in heard.error.message
