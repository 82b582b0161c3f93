"""Chat Completions over a real socket: what is asked, what is heard, and how a stream may end."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from realtime.errors import RealtimeError
from realtime.events import Extra, Reasoning, Refusal, Source, Text, ToolArguments, ToolCall, Usage
from realtime.policy import Deadlines
from realtime.prompt import (
    JsonFormat,
    Message,
    NamedTool,
    Prompt,
    ReasoningPart,
    TextPart,
    Tool,
    ToolCallPart,
)
from realtime.providers.base import Ended
from realtime.providers.openai import OpenAIProvider, request_body

from ..upstream import FIN, RESET, STALL, Pause, Reply, Upstream, Wait, chat, cut
from .heard import HELLO, hear

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


async def sdk_reading(upstream: Upstream) -> dict[str, Any]:
    """What the official SDK reads from the same bytes."""
    read: dict[str, Any] = {"text": "", "calls": {}, "finish": None, "usage": None}
    async with openai.AsyncOpenAI(api_key=KEY, base_url=f"{upstream.url}/v1") as client:
        messages: Any = [{"role": "user", "content": "Hello?"}]
        async for chunk in await client.chat.completions.create(model="m", messages=messages, stream=True):
            read["usage"] = chunk.usage or read["usage"]
            for choice in chunk.choices:
                read["text"] += choice.delta.content or ""
                read["finish"] = choice.finish_reason or read["finish"]
                for fragment in choice.delta.tool_calls or ():
                    call = read["calls"].setdefault(fragment.index, {"call": "", "name": "", "arguments": ""})
                    assert fragment.function is not None
                    call["call"] += fragment.id or ""
                    call["name"] += fragment.function.name or ""
                    call["arguments"] += fragment.function.arguments or ""
    return read


async def test_a_whole_stream(upstream: Upstream, provider: OpenAIProvider) -> None:
    """Text arrives in order, then the usage, then the end, and nothing after it."""
    upstream.reply = Reply(chat.text("Hel", "lo", "\u2028!"))
    heard = await hear(provider)
    assert heard.events == [Text("Hel"), Text("lo"), Text("\u2028!")]
    assert heard.usage == [Usage(11, 7, cached_input_tokens=4, reasoning_tokens=2)]
    assert heard.ended == [Ended("stop", "stop")]
    assert heard.error is None


async def test_the_request(upstream: Upstream, provider: OpenAIProvider) -> None:
    """The upstream is asked for a stream with usage, once, with our key, and with nothing that was not asked for."""
    upstream.reply = Reply(chat.text("x"))
    await hear(provider)
    (exchange,) = upstream.exchanges
    assert (exchange.method, exchange.path) == ("POST", "/v1/chat/completions")
    assert exchange.headers["authorization"] == f"Bearer {KEY}"
    assert exchange.headers["accept-encoding"] == "identity"
    assert exchange.body == {
        "model": "scripted",
        "messages": [{"role": "user", "content": "Hello?"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_every_option_is_mapped(upstream: Upstream, provider: OpenAIProvider) -> None:
    """Each option of a prompt has its place in the request."""
    upstream.reply = Reply(chat.text("x"))
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    prompt = Prompt(
        "m",
        (
            Message("user", (TextPart("a"), TextPart("b"))),
            Message("assistant", (ReasoningPart("hm"), TextPart("c"), ToolCallPart("call_1", "add", '{"n":1}'))),
            Message("tool", "2", call="call_1"),
        ),
        system="Be brief.",
        max_tokens=9,
        temperature=0.5,
        top_p=0.25,
        stop=("END",),
        tools=(Tool("add", "Adds.", schema),),
        tool_choice=NamedTool("add"),
        response_format=JsonFormat(schema, name="sum"),
    )
    await hear(provider, prompt)
    body = upstream.exchanges[0].body
    function = {"name": "add", "arguments": '{"n":1}'}
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "ab"},
        {
            "role": "assistant",
            "content": "c",
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
        },
        {"role": "tool", "content": "2", "tool_call_id": "call_1"},
    ]
    assert (body["max_tokens"], body["temperature"], body["top_p"], body["stop"]) == (9, 0.5, 0.25, ["END"])
    assert body["tools"] == [
        {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": schema}}
    ]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "add"}}
    assert body["response_format"] == {"type": "json_schema", "json_schema": {"name": "sum", "schema": schema}}


async def test_json_without_a_schema(upstream: Upstream, provider: OpenAIProvider) -> None:
    """JSON of any shape is the API's JSON mode."""
    upstream.reply = Reply(chat.text("{}"))
    await hear(provider, Prompt("m", HELLO.messages, response_format=JsonFormat()))
    assert upstream.exchanges[0].body["response_format"] == {"type": "json_object"}


async def test_an_unknown_option_is_refused_by_name(provider: OpenAIProvider) -> None:
    """An option that only other providers have is an error and not ignored."""
    provider.check(HELLO)
    with pytest.raises(RealtimeError) as raised:
        provider.check(Prompt("m", HELLO.messages, options={"rate": 3}))
    assert (raised.value.code, raised.value.error.field) == ("bad_request", "options.rate")


async def test_a_compatible_server_needs_no_key(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key a placeholder is sent, and never OpenAI's own key or organisation from the environment."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-ours")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-ours")
    upstream.reply = Reply(chat.text("x"))
    provider = OpenAIProvider(None, f"{upstream.url}/v1")
    assert (await hear(provider)).ended
    await provider.close()
    sent = json.dumps(upstream.exchanges[0].headers)
    assert KEY not in sent
    assert "-ours" not in sent


async def test_openai_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a base URL it is OpenAI's own, whatever the environment says, and asked in its newer words."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere.invalid")
    provider = OpenAIProvider(KEY)
    assert str(provider._client.base_url) == "https://api.openai.com/v1/"
    await provider.close()
    body = request_body(Prompt("m", HELLO.messages, max_tokens=9), compatible=False)
    assert (body["max_completion_tokens"], body.get("max_tokens")) == (9, None)


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
    ours = [{name: part[name] for name in ("call", "name", "arguments")} for part in heard.message.content]
    assert ours == list((await sdk_reading(upstream))["calls"].values())


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
    """Images, audio, unknown annotations and content that is no part at all are passed on or left out, not fatal."""
    steps = [
        chat.chunk({"content": ["?", {"type": "text", "text": "so"}]}),
        chat.chunk({"annotations": [{"type": "file_citation"}]}),
        chat.chunk({"images": [{"type": "image_url"}], "audio": {"id": "a"}}),
    ]
    upstream.reply = Reply([*steps, *chat.text()])
    assert (await hear(provider)).events == [
        Text("so"),
        Extra("annotation", {"type": "file_citation"}),
        Extra("images", [{"type": "image_url"}]),
        Extra("audio", {"id": "a"}),
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
    """One choice is asked for; a server that sends more is heard for the first."""
    second = {"index": 1, "delta": {"content": "other"}, "finish_reason": "length"}
    upstream.reply = Reply([chat.event(chat.envelope([second])), *chat.text("x")])
    heard = await hear(provider)
    assert heard.events == [Text("x")]
    assert heard.ended == [Ended("stop", "stop")]


async def test_half_a_character_does_not_fail_the_stream(upstream: Upstream, provider: OpenAIProvider) -> None:
    """An emoji cut in two between chunks, or in two bytes, becomes U+FFFD and the rest is whole."""
    halves = [b'data: {"choices":[{"index":0,"delta":{"content":"a\\ud83d"}}]}\n\n']
    halves += [b'data: {"choices":[{"index":0,"delta":{"content":"\\ude00b"}}]}\n\n']
    halves += [b'data: {"choices":[{"index":0,"delta":{"content":"c\xf0\x9f"}}]}\n\n']
    upstream.reply = Reply([*halves, *chat.text("d")])
    heard = await hear(provider)
    assert heard.message.text == "a\ufffd\ufffdbc\ufffdd"
    assert len(heard.ended) == 1


async def test_keep_alives_are_signs_of_life(upstream: Upstream, provider: OpenAIProvider) -> None:
    """A comment, or an event that is only begun, gives an empty batch at once."""
    go = asyncio.Event()
    upstream.reply = Reply([b": PROCESSING\n\n", Wait(go), *chat.text("x")])
    async with provider.open(HELLO, Deadlines()) as stream:
        assert await anext(stream) == []
        go.set()
        rest = [item async for batch in stream for item in batch]
    assert rest[0] == Text("x")


async def test_a_batch_is_one_read(upstream: Upstream, provider: OpenAIProvider) -> None:
    """Events that arrive in one segment are one batch, which wakes the session once."""
    upstream.reply = Reply([b"".join(chat.text("a", "b", "c"))])
    heard = await hear(provider)
    assert heard.batches[0][:3] == [Text("a"), Text("b"), Text("c")]


@pytest.mark.parametrize("place", [1, 7, 150, 151, 152, 300])
async def test_bytes_cut_anywhere(upstream: Upstream, provider: OpenAIProvider, place: int) -> None:
    """Where the network cuts the bytes changes nothing."""
    upstream.reply = Reply(cut(b"".join(chat.text("a", "😀", "c")), place, place + 1))
    heard = await hear(provider)
    assert (heard.message.text, len(heard.ended), len(heard.usage)) == ("a😀c", 1, 1)


async def test_equal_to_the_sdk(upstream: Upstream, provider: OpenAIProvider) -> None:
    """Text, reason and usage are what the official SDK reads from the same bytes."""
    upstream.reply = Reply(chat.text("Hel", "lo", "\u2028", finish="length"))
    heard, read = await hear(provider), await sdk_reading(upstream)
    assert heard.message.text == read["text"]
    assert heard.ended[0].native_reason == read["finish"]
    usage = heard.usage[-1]
    assert (usage.input_tokens, usage.output_tokens) == (read["usage"].prompt_tokens, read["usage"].completion_tokens)
    assert usage.cached_input_tokens == read["usage"].prompt_tokens_details.cached_tokens


@pytest.mark.parametrize("framing", ["chunked", "close"])
async def test_a_stream_without_done(upstream: Upstream, provider: OpenAIProvider, framing: Any) -> None:
    """The reason for the end is the end; some servers never send `[DONE]`."""
    upstream.reply = Reply(chat.text("x")[:-2], framing=framing)
    heard = await hear(provider)
    assert (heard.ended, heard.error) == ([Ended("stop", "stop")], None)


async def test_a_server_that_never_closes(upstream: Upstream, provider: OpenAIProvider) -> None:
    """After the reason for the end, nothing but the end of a bounded wait is needed to complete."""
    upstream.reply = Reply([*chat.text("x")[:-2], STALL])
    heard = await hear(provider, deadlines=Deadlines(idle_s=0.2))
    assert heard.ended == [Ended("stop", "stop")]
    await upstream.exchanges[0].closed.wait()


async def test_a_connection_lost_after_the_end(upstream: Upstream, provider: OpenAIProvider) -> None:
    """A reset behind a whole answer is no failure."""
    upstream.reply = Reply([*chat.text("x")[:-2], Pause(0.01), RESET])
    heard = await hear(provider)
    assert (heard.ended, heard.error) == ([Ended("stop", "stop")], None)


async def test_an_end_without_a_reason_is_no_end(upstream: Upstream, provider: OpenAIProvider) -> None:
    """A body that ends cleanly, with or without `[DONE]`, but without `finish_reason`, has no `Ended`."""
    for steps in (chat.text("x", finish=None), [*chat.text("x", finish=None), chat.DONE, STALL]):
        upstream.reply = Reply(steps)
        heard = await hear(provider)
        assert (heard.events, heard.ended, heard.error) == ([Text("x")], [], None)


@pytest.mark.parametrize("how", [FIN, RESET])
async def test_a_connection_lost_on_the_way(upstream: Upstream, provider: OpenAIProvider, how: Any) -> None:
    """What came before the loss was said; the loss is an error."""
    upstream.reply = Reply([*chat.text("x", finish=None), how])
    heard = await hear(provider)
    assert (heard.events, heard.ended, heard.code) == ([Text("x")], [], "upstream_truncated")


async def test_a_stop_closes_the_upstream(upstream: Upstream, provider: OpenAIProvider) -> None:
    """Leaving the context in mid-stream closes the upstream connection."""
    upstream.reply = Reply([*chat.text("x", finish=None), STALL])
    async with provider.open(HELLO, Deadlines()) as stream:
        await anext(stream)
        exchange = await upstream.next_exchange()
        await exchange.stalled.wait()
    await exchange.closed.wait()
    assert not exchange.answered.is_set()


@pytest.mark.parametrize(
    "reply",
    [Reply(before=[STALL]), Reply([STALL]), Reply([b": hm\n\n", STALL])],
    ids=["before headers", "before the body", "before a token"],
)
async def test_a_cancelled_reader_closes_the_upstream(
    upstream: Upstream, provider: OpenAIProvider, reply: Reply
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


async def test_a_body_read_to_its_end_leaves_the_connection(upstream: Upstream, provider: OpenAIProvider) -> None:
    """The next request goes over the same connection."""
    upstream.reply = Reply(chat.text("x"))
    for _ in range(3):
        assert (await hear(provider)).ended
    assert (len(upstream.exchanges), upstream.connections) == (3, 1)


async def test_models(upstream: Upstream, provider: OpenAIProvider) -> None:
    """The names are asked for once and kept."""
    upstream.reply = Reply.json(chat.models("small", "large"))
    assert await provider.models() == ("small", "large")
    assert await provider.models() == ("small", "large")
    assert [exchange.path for exchange in upstream.exchanges] == ["/v1/models"]


@pytest.mark.parametrize("reply", [Reply.json({}, 500), Reply.json({"data": 3}), Reply(before=[RESET])])
async def test_models_that_cannot_be_asked(upstream: Upstream, provider: OpenAIProvider, reply: Reply) -> None:
    """A provider that does not answer has no models, and is not asked again at once."""
    upstream.reply = reply
    assert await provider.models() == ()
    asked = len(upstream.exchanges)
    assert await provider.models() == ()
    assert len(upstream.exchanges) == asked
