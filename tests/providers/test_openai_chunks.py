"""What the chunks of Chat Completions mean, in every dialect that was met."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from realtime.errors import RealtimeError
from realtime.events import Extra, File, Reasoning, Refusal, Source, Text, ToolArguments, ToolCall, Usage
from realtime.message import assemble
from realtime.providers.base import Ended
from realtime.providers.chat_calls import MAX_CALLS
from realtime.providers.event_stream import ServerEvent, Splitter
from realtime.providers.openai import OpenAIProvider
from realtime.providers.openai_chunks import ChatTranslator
from realtime.providers.unknown import MAX_KINDS

from ..upstream import Reply, Upstream, chat
from .heard import hear

KEY = "sk-test-0123456789"


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


def taken(*deltas: Any, finish: str | None = "stop") -> tuple[list[Any], ChatTranslator]:
    """What a translator makes of such deltas, without a socket."""
    translator, batch = ChatTranslator(), list[Any]()
    steps = [*(chat.chunk(delta) for delta in deltas), *([chat.chunk(finish=finish)] if finish else [])]
    for event in Splitter().feed(b"".join(steps)):
        translator.take(event, batch)
    return batch, translator


def calls(*fragments: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Name and arguments by id, of fragments that come one in a chunk."""
    parts = assemble(taken(*({"tool_calls": [fragment]} for fragment in fragments))[0]).content
    return {part["call"]: (part["name"], part["arguments"]) for part in parts}


def fragment(index: int | None, native: Any, name: str | None, arguments: Any) -> dict[str, Any]:
    """A fragment with what is not None."""
    function = {"name": name, "arguments": arguments}
    whole = {
        "index": index,
        "id": native,
        "function": {key: said for key, said in function.items() if said is not None},
    }
    return {key: said for key, said in whole.items() if said is not None}


@pytest.mark.parametrize(
    ("fragments", "expected"),
    [
        pytest.param([(0, "a", "add", {"n": 1})], {"a": ("add", '{"n":1}')}, id="arguments as an object"),
        pytest.param([(0, "a", "now", "")], {"a": ("now", "{}")}, id="no arguments"),
        pytest.param([(0, "a", "now", None)], {"a": ("now", "{}")}, id="arguments left out"),
        pytest.param([(0, 7, "now", "{}")], {"7": ("now", "{}")}, id="a number for an id"),
        pytest.param([(0, "a", "add", "{"), (0, "a", "add", "}")], {"a": ("add", "{}")}, id="all said each time"),
        pytest.param([(0, "a", "add", "{"), (0, None, "add", "}")], {"a": ("add", "{}")}, id="the name again"),
        pytest.param([(0, "a", "add", "{"), (0, "b", None, "}")], {"a": ("add", "{}")}, id="a new id each time"),
        pytest.param([(0, "a", "add", "{"), (0, "", None, "}")], {"a": ("add", "{}")}, id="empty ids"),
        pytest.param([(2, "a", "add", "{"), (0, None, None, "}")], {"a": ("add", "{}")}, id="numbered otherwise"),
        pytest.param(
            [(0, "a", "add", "{}"), (0, "b", "sub", "{"), (1, None, None, "}")],
            {"a": ("add", "{}"), "b": ("sub", "{}")},
            id="the second begun under the first's number",
        ),
        pytest.param(
            [(0, "a", "add", "{"), (1, "b", "sub", "{"), (5, "a", None, "}"), (5, "b", None, "}")],
            {"a": ("add", "{}"), "b": ("sub", "{}")},
            id="ids that are right and numbers that are not",
        ),
        pytest.param(
            [(0, None, "add", "{}"), (0, None, "sub", "{}")],
            {"call_0": ("add", "{}"), "call_1": ("sub", "{}")},
            id="neither ids nor numbers that count",
        ),
        pytest.param(
            [(None, "a", None, "{"), (None, "a", "add", "}")], {"a": ("add", "{}")}, id="no number, and the name late"
        ),
        pytest.param(
            [(None, "a", None, "{"), (None, "b", "sub", "{}"), (None, "a", "add", "}")],
            {"b": ("sub", "{}"), "a": ("add", "{}")},
            id="no number, and two at once",
        ),
    ],
)
def test_tool_calls_of_every_dialect(fragments: list[Any], expected: dict[str, tuple[str, str]]) -> None:
    """Fragments find their call by what they have in common with it, whatever the server leaves out or gets wrong."""
    assert calls(*(fragment(*given) for given in fragments)) == expected


def test_a_call_that_never_gets_a_name() -> None:
    """Arguments of nothing are no call; they are counted."""
    batch, translator = taken({"tool_calls": [fragment(0, "a", None, "{}")]})
    assert (batch, translator.unknown) == ([], {"tool_call.nameless": 1})


@pytest.mark.parametrize(
    "deltas",
    [
        pytest.param([{"tool_calls": [{"index": n, "id": n + 1}]} for n in range(MAX_CALLS + 1)], id="calls"),
        pytest.param([{"tool_calls": [fragment(0, "a", None, "x" * 40_000)]}] * 2, id="arguments of no call"),
    ],
)
def test_what_is_remembered_is_bounded(deltas: list[Any]) -> None:
    """A server cannot make us keep more than a bounded part of what leads to no event."""
    with pytest.raises(RealtimeError) as raised:
        taken(*deltas)
    assert raised.value.code == "upstream_protocol"


def test_geminis_seal_of_a_call() -> None:
    """The thoughts behind a call are sealed beside it, and passed on with its id: they are wanted back."""
    sealed = fragment(0, "a", "add", "{}") | {"extra_content": {"google": {"thought_signature": "c2VhbA=="}}}
    extra = taken({"tool_calls": [sealed]})[0][-1]
    assert extra == Extra("extra_content", {"call": "a", "value": sealed["extra_content"]})


@pytest.mark.parametrize(
    ("delta", "events"),
    [
        (
            {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": "s"}]},
            [Reasoning("hm", signature="s")],
        ),
        (
            {"reasoning_details": [{"type": "reasoning.encrypted", "data": "x", "index": 2}]},
            [Reasoning("", part=2, redacted="x")],
        ),
        ({"reasoning_details": [{"type": "reasoning.summary", "summary": "hm"}]}, [Reasoning("hm")]),
        (
            {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]},
            [Reasoning("hm"), Reasoning("", redacted="x")],
        ),
        (
            {"reasoning_content": "hm", "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}]},
            [Reasoning("hm", signature="s")],
        ),
        ({"reasoning_content": {"odd": 1}, "reasoning_details": ["odd"], "content": "x"}, [Text("x")]),
    ],
)
def test_reasoning_and_its_seals(delta: dict[str, Any], events: list[Any]) -> None:
    """Reasoning that is told twice is said once, and what is sealed keeps its seal."""
    assert taken(delta)[0] == events


@pytest.mark.parametrize(
    ("delta", "events"),
    [
        (
            {"images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
            [File("image/png", data="AAAA")],
        ),
        (
            {"images": [{"image_url": "https://a.example/x.png"}]},
            [File("image/*", url="https://a.example/x.png")],
        ),
        (
            {"content": [{"type": "image_url", "image_url": {"url": "data:image/webp;base64,AAAA"}}]},
            [File("image/webp", data="AAAA")],
        ),
        (
            {"audio": {"id": "a", "data": "AAAA", "transcript": "Hi"}},
            [Text("Hi"), File("audio/pcm", data="AAAA", name="a")],
        ),
        ({"audio": {"id": "a", "expires_at": 7}}, []),
        ({"annotations": {"odd": 1}}, [Extra("annotation", {"odd": 1})]),
    ],
)
def test_files(delta: dict[str, Any], events: list[Any]) -> None:
    """Pictures and sound are files, as an address or in base64."""
    assert taken(delta)[0] == events


async def test_citations_beside_the_choices(upstream: Upstream, provider: OpenAIProvider) -> None:
    """Addresses that come again with every chunk are sources once."""
    cited = ["https://a.example", "https://b.example", 7]
    steps = [chat.chunk({"content": "x"}, citations=cited[:1]), chat.chunk({"content": "y"}, citations=cited)]
    upstream.reply = Reply([*steps, *chat.text()])
    heard = await hear(provider)
    assert [event.url for event in heard.events if isinstance(event, Source)] == cited[:2]


def test_what_is_new_is_passed_on_once_and_counted() -> None:
    """A key of a delta that nobody knows is an `extra` the first time, unless it says nothing."""
    batch, translator = taken({"hologram": {"x": 2**70}, "empty": []}, {"hologram": 2}, {"role": "assistant"})
    assert batch == [Extra("hologram", {"x": float(2**70)})]
    assert translator.unknown == {"hologram": 2}


def test_kinds_are_counted_within_bounds() -> None:
    """Kinds are counted by names of a closed form, so many of them and no more."""
    kinds = ["sk-test-0123456789", "two words", "", *("k" * n for n in range(1, 2 * MAX_KINDS))]
    translator = ChatTranslator()
    for kind in kinds:
        for event in Splitter().feed(chat.event({"type": kind})):
            translator.take(event, [])
    assert len(translator.unknown) <= MAX_KINDS + 1
    assert sum(translator.unknown.values()) == len(kinds)
    assert translator.unknown["unnamed"] == 3
    assert translator.unknown["more"] > MAX_KINDS / 2


@pytest.mark.parametrize(
    ("native", "reason"),
    [
        ("STOP", "stop"),
        ("content_filter: PROHIBITED_CONTENT", "content_filter"),
        ("SAFETY", "content_filter"),
        ("", None),
    ],
)
def test_reasons_of_other_servers(native: str, reason: str | None) -> None:
    """Reasons that shout, or say more behind a colon, are understood; an empty one is none."""
    ended = taken({"content": "x"}, finish=native)[1].ended
    assert (None if ended is None else ended.reason) == reason


def test_a_stop_with_calls() -> None:
    """Servers that call it a stop when tools are called, as OpenAI does when it was told which, are corrected."""
    assert taken({"tool_calls": [fragment(0, "a", "add", "{}")]})[1].ended == Ended("tool_calls", "stop")


@pytest.mark.parametrize("dialect", ["usage at Groq", "usage behind [DONE]", "usage each time", "usage at the end"])
async def test_usage_of_every_dialect(upstream: Upstream, provider: OpenAIProvider, dialect: str) -> None:
    """Wherever the figures are, the last ones count, and they are the provider's."""
    upstream.reply = Reply(chat.dialects()[dialect])
    assert (await hear(provider)).usage[-1] == Usage(11, 7, 4, reasoning_tokens=2)


@pytest.mark.parametrize("figures", [{}, {"prompt_tokens": -1}, {"prompt_tokens": 2**60}, 7, [], {"total_tokens": 7}])
def test_figures_that_are_none(figures: Any) -> None:
    """What is negative, beyond counting or not there is no usage, and no failure."""
    translator, batch = ChatTranslator(), list[Any]()
    for event in Splitter().feed(chat.chunk({"content": "x"}, usage=figures)):
        translator.take(event, batch)
    assert batch == [Text("x")]


def test_what_is_not_quite_json() -> None:
    """A log probability of minus infinity, or half a character, costs itself and not the answer."""
    odd = b'data: {"choices":[{"index":0,"delta":{"content":"a\\ud83d"},"logprobs":{"x":-Infinity,"y":NaN}}]}\n\n'
    translator, batch = ChatTranslator(), list[Any]()
    for event in Splitter().feed(odd):
        translator.take(event, batch)
    assert batch == [Text("a\ufffd")]


@pytest.mark.parametrize(
    "data",
    [
        b'{"choices":[],"x":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"choices":[{"delta":{"tool_calls":{}}}]}',
        b'{"choices":[{"message":{"content":7}}]}',
        b'[{"choices":[]}]',
    ],
)
def test_what_is_no_chunk(data: bytes) -> None:
    """What cannot be read as a chunk, or is nested beyond all meaning, is said to be none."""
    with pytest.raises(RealtimeError) as raised:
        ChatTranslator().take(ServerEvent(b"", data), [])
    assert raised.value.code == "upstream_protocol"
