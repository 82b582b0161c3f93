"""Messages over a real socket: what is asked, what is heard, and how a stream may end."""

from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest

from realtime.events import Text, Usage
from realtime.providers.anthropic import AnthropicProvider
from realtime.providers.base import Ended

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
