"""Chat Completions over a real socket: what is asked, what is heard, and how a stream may end."""

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from realtime.events import Text, Usage
from realtime.policy import Deadlines
from realtime.prompt import (
    Prompt,
)
from realtime.providers.base import Ended
from realtime.providers.chat_request import request_body
from realtime.providers.openai import OpenAIProvider

from ..upstream import RESET, STALL, Pause, Reply, Upstream, chat
from .heard import HELLO, hear

KEY = "sk-test-0123456789"


@pytest.fixture
async def provider(upstream: Upstream) -> AsyncIterator[OpenAIProvider]:
    made = OpenAIProvider(KEY, f"{upstream.url}/v1")
    yield made
    await made.close()


async def sdk_reading(upstream: Upstream) -> dict[str, Any]:
    """What the official SDK reads from the same bytes."""
    read: dict[str, Any] = {"text": "", "finish": None, "usage": None}
    calls: dict[int, dict[str, str]] = {}
    async with openai.AsyncOpenAI(api_key=KEY, base_url=f"{upstream.url}/v1") as client:
        messages: Any = [{"role": "user", "content": "Hello?"}]
        async for chunk in await client.chat.completions.create(model="m", messages=messages, stream=True):
            read["usage"] = chunk.usage or read["usage"]
            for choice in chunk.choices:
                read["text"] += choice.delta.content or ""
                read["finish"] = choice.finish_reason or read["finish"]
                for fragment in choice.delta.tool_calls or ():
                    call = calls.setdefault(fragment.index, {"call": "", "name": "", "arguments": ""})
                    assert fragment.function is not None
                    call["call"] += fragment.id or ""
                    call["name"] += fragment.function.name or ""
                    call["arguments"] += fragment.function.arguments or ""
    return read | {"calls": list(calls.values())}


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


async def test_a_batch_is_one_read(upstream: Upstream, provider: OpenAIProvider) -> None:
    """Events that arrive in one segment are one batch, which wakes the session once."""
    upstream.reply = Reply([b"".join(chat.text("a", "b", "c"))])
    heard = await hear(provider)
    assert heard.batches[0][:3] == [Text("a"), Text("b"), Text("c")]


async def test_equal_to_the_sdk(upstream: Upstream, provider: OpenAIProvider) -> None:
    """Text, calls, reason and usage are what the official SDK reads from the same bytes."""
    fragments = [chat.tool(0, "a", "add", '{"n"'), chat.tool(1, "b", "now", "{}"), chat.tool(0, None, None, ":1}")]
    upstream.reply = Reply([*fragments, *chat.text("Hel", "lo", "\u2028", finish="tool_calls")])
    heard, read = await hear(provider), await sdk_reading(upstream)
    assert heard.message.text == read["text"]
    calls = [part for part in heard.message.content if part["type"] == "tool_call"]
    assert [{name: call[name] for name in ("call", "name", "arguments")} for call in calls] == read["calls"]
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


async def test_azure_is_asked_as_azure_wants_it() -> None:
    """By the SDK's own client: the deployment in the path, the version behind it, the key in a header of its own."""
    async with Upstream(Reply(chat.text("x"))) as upstream:
        provider = OpenAIProvider("azure-key", upstream.url, api_version="2025-04-01-preview")
        heard = await hear(provider, Prompt("our-gpt", HELLO.messages, max_tokens=5))
        await provider.close()
        (exchange,) = upstream.exchanges
    assert heard.message.text == "x"
    assert exchange.path == "/openai/deployments/our-gpt/chat/completions?api-version=2025-04-01-preview"
    assert exchange.headers["api-key"] == "azure-key"
    assert exchange.body["max_completion_tokens"] == 5
