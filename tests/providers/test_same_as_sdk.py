"""What we make of a stream is what the official SDK makes of it: the same bytes over a real socket, read to the end.

The SDK's own accumulation is the oracle. Where it gives up, or says less than the wire does, the stream is left out
here by name, and a test of the translator says what becomes of it.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import anthropic
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.events import Usage
from realtime.providers.anthropic import AnthropicProvider
from realtime.providers.openai import OpenAIProvider

from ..upstream import Reply, Upstream, chat, cut, messages
from .heard import Heard, hear

KEY = "sk-test-0123456789"
QUESTION: Any = {"model": "scripted", "messages": [{"role": "user", "content": "Hello?"}]}

# Streams that OpenAI's SDK does not accumulate, or not all of: what it makes of each.
NOT_CHAT = {
    "thinking in parts": "adds a list to text",
    "a whole message": "wants a delta",
    "what is new": "takes anything for a chunk",
    "usage in the choice": "does not look there",
    "usage at Groq": "does not look there",
    "usage behind [DONE]": "stops there",
    "reasoning beside the completion": "adds nothing up",
    "sound": "keeps what is said apart from the text",
    "an error": "raises it",
    "cut short": "takes it for an answer",
}
NOT_MESSAGES = {
    "an error": "raises it",
    "cut short": "takes it for an answer",
    "begun twice": "takes the figures of the first",
}


class Made(NamedTuple):
    """A finished answer, by either reading of it."""

    text: str
    reasoning: str
    refusal: str
    calls: list[tuple[str, str, Any]]
    reason: str | None
    usage: tuple[int, int, int | None, int | None]


def ours(heard: Heard) -> Made:
    """The answer as a session would keep it."""
    assert heard.error is None
    parts = heard.message.content
    (ended,) = heard.ended
    return Made(
        heard.message.text,
        _joined(parts, "reasoning"),
        _joined(parts, "refusal"),
        [(part["call"], part["name"], json.loads(part["arguments"])) for part in parts if part["type"] == "tool_call"],
        ended.native_reason,
        _figures(heard.usage[-1]),
    )


def _joined(parts: Sequence[dict[str, Any]], kind: str) -> str:
    return "".join(part["text"] for part in parts if part["type"] == kind)


def _figures(usage: Usage) -> tuple[int, int, int | None, int | None]:
    assert not usage.estimated
    return usage.input_tokens, usage.output_tokens, usage.cached_input_tokens, usage.reasoning_tokens


async def of_chat(url: str) -> Made:
    """What OpenAI's SDK accumulates."""
    http = openai.DefaultAsyncHttpxClient(verify=False)
    async with (
        openai.AsyncOpenAI(api_key=KEY, base_url=f"{url}/v1", max_retries=0, http_client=http) as client,
        client.chat.completions.stream(**QUESTION, stream_options={"include_usage": True}) as stream,
    ):
        await stream.until_done()
        # The final one is the same, but an answer that was cut for its length is raised and not given.
        answer = stream.current_completion_snapshot
    (choice,) = answer.choices
    told, more = choice.message, choice.message.model_extra or {}
    usage = answer.usage
    assert usage is not None
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    return Made(
        told.content or "",
        more.get("reasoning_content") or more.get("reasoning") or "",
        told.refusal or "",
        # A tool that takes nothing is called with no text at all, where JSON has `{}`.
        [(call.id, call.function.name, json.loads(call.function.arguments or "{}")) for call in told.tool_calls or ()],
        choice.finish_reason,
        (
            usage.prompt_tokens,
            usage.completion_tokens,
            prompt.cached_tokens if prompt else None,
            completion.reasoning_tokens if completion else None,
        ),
    )


async def of_messages(url: str) -> Made:
    """What Anthropic's SDK accumulates."""
    http = anthropic.DefaultAsyncHttpxClient(verify=False)
    async with (
        anthropic.AsyncAnthropic(api_key=KEY, base_url=url, max_retries=0, http_client=http) as client,
        client.messages.stream(**QUESTION, max_tokens=100) as stream,
    ):
        answer = await stream.get_final_message()
    usage, details = answer.usage, answer.stop_details
    cached, written = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
    return Made(
        "".join(block.text for block in answer.content if block.type == "text"),
        "".join(block.thinking for block in answer.content if block.type == "thinking"),
        (details.explanation if details is not None else None) or "",
        [
            (block.id, block.name, block.input)
            for block in answer.content
            if block.type in ("tool_use", "server_tool_use")
        ],
        answer.stop_reason,
        (
            usage.input_tokens + (cached or 0) + (written or 0),
            usage.output_tokens,
            cached,
            usage.output_tokens_details.thinking_tokens if usage.output_tokens_details else None,
        ),
    )


async def compare_chat(steps: Sequence[bytes]) -> None:
    """Hear `steps` twice."""
    async with Upstream(Reply(list(steps))) as upstream:
        provider = OpenAIProvider(KEY, f"{upstream.url}/v1")
        try:
            assert ours(await hear(provider)) == await of_chat(upstream.url)
        finally:
            await provider.close()


async def compare_messages(steps: Sequence[bytes]) -> None:
    """Hear `steps` twice."""
    async with Upstream(Reply(list(steps))) as upstream:
        provider = AnthropicProvider(KEY, upstream.url)
        try:
            assert ours(await hear(provider)) == await of_messages(upstream.url)
        finally:
            await provider.close()


@pytest.mark.parametrize("dialect", sorted(chat.dialects().keys() - NOT_CHAT.keys()))
async def test_chat(dialect: str) -> None:
    """A stream of each dialect that OpenAI's SDK understands is the same answer to both."""
    await compare_chat(chat.dialects()[dialect])


@pytest.mark.parametrize("dialect", sorted(messages.dialects().keys() - NOT_MESSAGES.keys()))
async def test_messages(dialect: str) -> None:
    """A stream of each kind is the same answer to Anthropic's SDK and to us."""
    await compare_messages(messages.dialects()[dialect])


def test_what_is_left_out_exists() -> None:
    """No stream is left out under a name that it no longer has."""
    assert chat.dialects().keys() >= NOT_CHAT.keys()
    assert messages.dialects().keys() >= NOT_MESSAGES.keys()


# Anything but half a character, which no JSON in UTF-8 can hold.
_WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
_NAMES = st.from_regex(r"[a-z_]{1,10}", fullmatch=True)
_ARGUMENTS = st.dictionaries(_WORDS, st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _WORDS, max_size=3)
_TOKENS = st.integers(0, 2**31)


@st.composite
def _pieces(draw: st.DrawFn, text: str) -> list[str]:
    """A text cut anywhere, empty pieces included."""
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]


@st.composite
def _calls(draw: st.DrawFn) -> list[tuple[str, list[str]]]:
    """Names, and arguments in pieces."""
    called = draw(st.lists(st.tuples(_NAMES, _ARGUMENTS), max_size=3))
    ascii_only = draw(st.booleans())
    return [(name, draw(_pieces(json.dumps(given, ensure_ascii=ascii_only)))) for name, given in called]


@st.composite
def _chat_streams(draw: st.DrawFn) -> list[bytes]:
    field = draw(st.sampled_from(["reasoning", "reasoning_content"]))
    steps = [chat.chunk({"role": "assistant", "content": ""})]
    steps += [chat.chunk({field: words}) for words in draw(st.lists(_WORDS, max_size=4))]
    steps += [chat.chunk({"content": words}) for words in draw(st.lists(_WORDS, max_size=6))]
    steps += [chat.chunk({"refusal": words}) for words in draw(st.lists(_WORDS, max_size=2))]
    for index, (name, pieces) in enumerate(draw(_calls())):
        steps.append(chat.tool(index, f"call_{index}", name, ""))
        steps += [chat.tool(index, None, None, piece) for piece in pieces]
    steps.append(chat.chunk(finish=draw(st.sampled_from(["stop", "length", "tool_calls", "content_filter"]))))
    prompt, output = draw(_TOKENS), draw(_TOKENS)
    figures = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
    return _recut(draw, [*steps, chat.usage(figures), chat.DONE])


@st.composite
def _messages_streams(draw: st.DrawFn) -> list[bytes]:
    blocks: list[list[bytes]] = []
    for words in draw(st.lists(st.lists(_WORDS, max_size=4), max_size=2)):
        index = len(blocks)
        deltas = [messages.delta(index, "thinking_delta", thinking=word) for word in words]
        seal = messages.delta(index, "signature_delta", signature="seal")
        begin = messages.begin(index, "thinking", thinking="", signature="")
        blocks.append([begin, *deltas, seal, messages.stop(index)])
    for words in draw(st.lists(st.lists(_WORDS, max_size=5), max_size=2)):
        index = len(blocks)
        deltas = [messages.delta(index, "text_delta", text=word) for word in words]
        blocks.append([messages.begin(index, "text", text=""), *deltas, messages.stop(index)])
    for name, pieces in draw(_calls()):
        blocks.append(messages.tool(len(blocks), f"toolu_{len(blocks)}", name, *pieces))
    reason = draw(st.sampled_from(["end_turn", "max_tokens", "tool_use", "pause_turn", "stop_sequence"]))
    steps = [messages.start({"input_tokens": draw(_TOKENS), "output_tokens": 1})]
    return _recut(draw, [*steps, *(step for block in blocks for step in block), *messages.end(reason, draw(_TOKENS))])


def _recut(draw: st.DrawFn, steps: Sequence[bytes]) -> list[bytes]:
    """The same bytes in other segments, which end within characters and line ends too."""
    stream = b"".join(steps)
    if draw(st.booleans()):
        stream = stream.replace(b"\n", b"\r\n")
    return cut(stream, *draw(st.lists(st.integers(0, len(stream)), max_size=12)))


@settings(max_examples=40, deadline=None)
@given(_chat_streams())
async def test_any_chat_stream(steps: list[bytes]) -> None:
    """Any words, reasoning, refusal, calls and figures, in any segments, are the same answer to both."""
    await compare_chat(steps)


@settings(max_examples=40, deadline=None)
@given(_messages_streams())
async def test_any_messages_stream(steps: list[bytes]) -> None:
    """Any thinking, text and calls, in any segments, are the same answer to both."""
    await compare_messages(steps)
