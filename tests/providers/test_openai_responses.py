"""The Responses API over a real socket: what is asked, what is heard, and how a stream may end."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import openai
import pytest

from realtime.events import Text, Usage
from realtime.policy import Deadlines
from realtime.prompt import Prompt
from realtime.providers.base import Ended
from realtime.providers.openai_responses import OpenAIResponsesProvider

from ..upstream import FIN, RESET, STALL, Exchange, Pause, Reply, Upstream, chat
from ..upstream import responses as wire
from ..upstream.server import Step
from .heard import HELLO, Heard, hear

KEY = "sk-test-0123456789"


@pytest.fixture
async def provider(upstream: Upstream) -> AsyncIterator[OpenAIResponsesProvider]:
    made = OpenAIResponsesProvider(KEY, f"{upstream.url}/v1")
    yield made
    await made.close()


def reading(response: Any) -> dict[str, Any]:
    """What the SDK has accumulated."""
    return {
        "text": response.output_text,
        "reasoning": "\n\n".join(
            part.text for item in response.output if item.type == "reasoning" for part in item.summary
        ),
        "calls": [
            (item.call_id, item.name, item.arguments) for item in response.output if item.type == "function_call"
        ],
        "status": response.status,
        "usage": (
            response.usage.input_tokens,
            response.usage.output_tokens,
            response.usage.input_tokens_details.cached_tokens,
            response.usage.output_tokens_details.reasoning_tokens,
        ),
    }


def said(heard: Heard) -> dict[str, Any]:
    """The same of what was heard."""
    parts, usage = heard.message.content, heard.usage[-1]
    return {
        "text": heard.message.text,
        "reasoning": "".join(part["text"] for part in parts if part["type"] == "reasoning"),
        "calls": [(part["call"], part["name"], part["arguments"]) for part in parts if part["type"] == "tool_call"],
        "status": heard.ended[0].native_reason,
        "usage": (usage.input_tokens, usage.output_tokens, usage.cached_input_tokens, usage.reasoning_tokens),
    }


async def test_the_request(upstream: Upstream, provider: OpenAIResponsesProvider) -> None:
    """The upstream is asked once, with our key, and the SDK changes nothing of the body."""
    upstream.reply = Reply(wire.text("x"))
    await hear(provider)
    (exchange,) = upstream.exchanges
    assert (exchange.method, exchange.path) == ("POST", "/v1/responses")
    assert exchange.headers["authorization"] == f"Bearer {KEY}"
    assert exchange.headers["accept-encoding"] == "identity"
    assert exchange.body["input"] == [{"role": "user", "content": "Hello?"}]
    assert exchange.body["store"] is False


async def test_a_batch_is_one_read(upstream: Upstream, provider: OpenAIResponsesProvider) -> None:
    """Events that arrive in one segment are one batch, and the end comes last."""
    upstream.reply = Reply([b"".join(wire.text("a", "b"))])
    heard = await hear(provider)
    usage = Usage(11, 7, cached_input_tokens=4, cache_write_input_tokens=1, reasoning_tokens=2)
    assert heard.batches[0] == [Text("a"), Text("b"), usage]
    assert heard.batches[-1] == [Ended("stop", "completed")]


async def test_a_sign_of_life_is_an_empty_batch(upstream: Upstream, provider: OpenAIResponsesProvider) -> None:
    """That an answer was begun, or waits in a queue, is told to the session, which takes it for no content."""
    created, *rest = wire.text("x")
    queued = wire.event("response.queued", response=wire.response("queued"))
    upstream.reply = Reply([created, Pause(0.01), queued, Pause(0.01), *rest])
    assert (await hear(provider)).batches[:2] == [[], []]


@pytest.mark.parametrize("how", ["stream", "create"])
async def test_equal_to_the_sdk(upstream: Upstream, provider: OpenAIResponsesProvider, how: str) -> None:
    """Text, reasoning, calls, reason and usage are what the official SDK makes of the same bytes."""
    upstream.reply = Reply(wire.rich())
    heard = await hear(provider)
    async with openai.AsyncOpenAI(api_key=KEY, base_url=f"{upstream.url}/v1") as client:
        if how == "stream":
            async with client.responses.stream(model="m", input="Hello?") as stream:
                response: Any = await stream.get_final_response()
        else:
            async with await client.responses.create(model="m", input="Hello?", stream=True) as events:
                response = [event async for event in events][-1].response  # type: ignore[union-attr]
    assert said(heard) == reading(response)
    assert heard.ended == [Ended("tool_calls", "completed")]


async def test_a_model_that_does_not_reason(upstream: Upstream, provider: OpenAIResponsesProvider) -> None:
    """A model that refuses to include sealed reasoning is asked without, and from then on without a refusal."""

    def reply(exchange: Exchange) -> Reply:
        if "include" not in exchange.body:
            return Reply(wire.text("x"))
        message = "Encrypted content is not supported with this model."
        error = {"message": message, "type": "invalid_request_error", "param": "include", "code": None}
        return Reply.json({"error": error}, 400)

    upstream.reply = reply
    for _ in range(2):
        assert (await hear(provider)).events == [Text("x")]
    assert ["include" in exchange.body for exchange in upstream.exchanges] == [True, False, False]


async def test_another_refusal_is_one(upstream: Upstream, provider: OpenAIResponsesProvider) -> None:
    """A request that is refused for anything else is not repeated, and one that always is has an end."""
    for param, requests in (("input", 1), ("include", 2)):
        upstream.exchanges.clear()
        upstream.reply = Reply.json({"error": {"message": "no", "param": param}}, 400)
        assert (await hear(provider, Prompt(param, HELLO.messages))).code == "upstream_invalid"
        assert len(upstream.exchanges) == requests


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "upstream_auth"), (404, "upstream_not_found"), (429, "upstream_rate_limited"), (500, "upstream_overloaded")],
)
async def test_faults_before_the_first_token(
    upstream: Upstream, provider: OpenAIResponsesProvider, status: int, code: str
) -> None:
    """A status is mapped, and the provider's words stay with it."""
    upstream.reply = Reply.json({"error": {"message": f"Wrong key {KEY}", "code": "x"}}, status)
    heard = await hear(provider)
    assert (heard.events, heard.code) == ([], code)
    assert KEY not in repr(heard.error)


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ([wire.error("rate_limit_exceeded")], "upstream_rate_limited"),
        ([wire.end("failed", usage=None, error={"code": "server_error", "message": KEY})], "upstream_overloaded"),
        ([b"data: {nonsense\n\n"], "upstream_protocol"),
        ([Pause(0.01), FIN], "upstream_truncated"),
        ([Pause(0.01), RESET], "upstream_truncated upstream_unreachable"),
    ],
)
@pytest.mark.parametrize("tokens", [[], ["x"]])
async def test_faults_in_the_stream(
    upstream: Upstream, provider: OpenAIResponsesProvider, steps: Sequence[Step], code: str, tokens: list[str]
) -> None:
    """Before the first token or behind it, what was said stays said, the fault is mapped, and there is no end.

    A reset that comes while a body is read is a truncated one to some HTTP stacks and a lost connection to others.
    """
    begun = [*wire.created(), *wire.message_events(0, *tokens)[: 2 + len(tokens)]]
    upstream.reply = Reply([*begun, *steps])
    heard = await hear(provider)
    assert (heard.events, heard.ended) == ([Text(token) for token in tokens], [])
    assert heard.code in code.split()
    assert KEY not in repr(heard.error)


@pytest.mark.parametrize("framing", ["chunked", "close"])
async def test_an_end_without_a_terminal_event_is_no_end(
    upstream: Upstream, provider: OpenAIResponsesProvider, framing: Any
) -> None:
    """A body that ends cleanly, with or without `[DONE]`, has no `Ended` unless the provider said so."""
    for last in ([], [chat.DONE]):
        upstream.reply = Reply([*wire.text("x")[:-1], *last], framing=framing)
        heard = await hear(provider)
        assert (heard.events, heard.ended, heard.error) == ([Text("x")], [], None)


async def test_what_comes_behind_the_end_is_not_waited_for(
    upstream: Upstream, provider: OpenAIResponsesProvider
) -> None:
    """The terminal event is the end, whatever the connection does then."""
    for last in (STALL, RESET):
        upstream.reply = Reply([*wire.text("x"), chat.DONE, Pause(0.01), last])
        heard = await hear(provider)
        assert (heard.ended, heard.error) == ([Ended("stop", "completed")], None)


async def test_leaving_closes_the_connection(upstream: Upstream, provider: OpenAIResponsesProvider) -> None:
    """A stop is a closed connection, and nothing is called off that the provider would not know."""
    upstream.reply = Reply([*wire.text("x")[:5], STALL])
    async with provider.open(HELLO, Deadlines()) as stream:
        reading = asyncio.create_task(stream.run(lambda _: None))
        exchange = await upstream.next_exchange()
        await exchange.stalled.wait()
        reading.cancel()
        await asyncio.wait({reading})
    await exchange.closed.wait()
    assert len(upstream.exchanges) == 1


async def test_a_compatible_server_needs_no_key(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key a placeholder is sent, and never OpenAI's own key or organisation from the environment."""
    for name in ("API_KEY", "ORG_ID", "PROJECT_ID"):
        monkeypatch.setenv(f"OPENAI_{name}", KEY)
    upstream.reply = Reply(wire.text("x"))
    provider = OpenAIResponsesProvider(None, f"{upstream.url}/v1")
    assert (await hear(provider)).ended
    await provider.close()
    assert KEY not in json.dumps(upstream.exchanges[0].headers)


async def test_the_names_of_models(upstream: Upstream, provider: OpenAIResponsesProvider) -> None:
    """They are asked for where Chat Completions has them."""
    upstream.reply = Reply.json(chat.models("a", "b"))
    assert list(await provider.models()) == ["a", "b"]


async def test_openai_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a base URL it is OpenAI's own, whatever the environment says."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere.invalid")
    provider = OpenAIResponsesProvider(KEY)
    assert str(provider._client.base_url) == "https://api.openai.com/v1/"
    await provider.close()
