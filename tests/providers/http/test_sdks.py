"""Both official SDKs over our transport, end to end: answers, streams, pushed streams, errors and timeouts."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from realtime.events import Text
from realtime.providers.anthropic_chunks import MessagesTranslator
from realtime.providers.event_stream import Splitter
from realtime.providers.http import Transport, body_of
from realtime.providers.openai_chunks import ChatTranslator

from ...upstream import FIN, RESET, STALL, Reply, Upstream, chat, messages
from .conftest import Wire, until

TURN: Any = {"model": "scripted", "messages": [{"role": "user", "content": "Hello?"}]}


@dataclass(frozen=True)
class Sdk:
    """One SDK's client, and what its provider would answer.

    Attributes:
        errors: Its module, whose classes of errors have the same names.
        opened: Its streaming response, unread.
    """

    errors: Any
    create: Callable[..., Awaitable[Any]]
    opened: Callable[..., AbstractAsyncContextManager[Any]]
    text: list[bytes]
    whole: Any
    translator: Callable[[], Any]
    close: Callable[[], Awaitable[None]]


def openai_over(transport: Transport, url: str, timeout: httpx2.Timeout) -> Sdk:
    http = openai.DefaultAsyncHttpxClient(transport=transport)
    client = openai.AsyncOpenAI(api_key="key", base_url=url, max_retries=0, timeout=timeout, http_client=http)
    completions = client.chat.completions
    message = {"role": "assistant", "content": "Hello"}
    whole = chat.envelope([{"index": 0, "message": message, "finish_reason": "stop"}]) | {"object": "chat.completion"}
    return Sdk(
        openai,
        lambda **more: completions.create(**TURN, **more),
        lambda: completions.with_streaming_response.create(**TURN, stream=True),
        chat.text("Hel", "lo"),
        whole,
        ChatTranslator,
        client.close,
    )


def anthropic_over(transport: Transport, url: str, timeout: httpx2.Timeout) -> Sdk:
    http = anthropic.DefaultAsyncHttpxClient(transport=transport)
    client = anthropic.AsyncAnthropic(api_key="key", base_url=url, max_retries=0, timeout=timeout, http_client=http)
    content = [{"type": "text", "text": "Hello"}]
    whole = {"id": "msg_1", "type": "message", "role": "assistant", "model": "scripted", "content": content}
    turn = TURN | {"max_tokens": 10}
    return Sdk(
        anthropic,
        lambda **more: client.messages.create(**turn, **more),
        lambda: client.messages.with_streaming_response.create(**turn, stream=True),
        messages.text("Hel", "lo"),
        whole | {"stop_reason": "end_turn", "stop_sequence": None, "usage": messages.USAGE},
        MessagesTranslator,
        client.close,
    )


SDKS = {"openai": openai_over, "anthropic": anthropic_over}


@dataclass(frozen=True)
class Stage:
    """An upstream, and an SDK that asks it."""

    upstream: Upstream
    sdk: Sdk


Staged = Callable[..., AbstractAsyncContextManager[Stage]]


@pytest.fixture(params=sorted(SDKS))
def staged(request: pytest.FixtureRequest, wire: Wire, ours: Transport) -> Staged:
    @asynccontextmanager
    async def stage(**timeouts: float) -> AsyncGenerator[Stage]:
        async with wire.upstream() as upstream:
            sdk = SDKS[request.param](ours, upstream.url, httpx2.Timeout(None, **timeouts))
            yield Stage(upstream, sdk)
            await sdk.close()

    return stage


async def test_create(staged: Staged) -> None:
    """A whole answer is the SDK's own object."""
    async with staged() as stage:
        stage.upstream.reply = Reply.json(stage.sdk.whole)
        answer = (await stage.sdk.create()).to_dict()
        assert "Hello" in str(answer)
        assert stage.upstream.exchanges[0].headers["authorization"] == "Bearer key"


async def test_stream(staged: Staged, ours: Transport) -> None:
    """The SDK's own iteration ends with the body, and its connection serves the next stream."""
    async with staged() as stage:
        stage.upstream.reply = Reply(stage.sdk.text)
        for _ in range(2):
            async with await stage.sdk.create(stream=True) as stream:
                said = [str(event.to_dict()) async for event in stream]
            assert "Hel" in "".join(said)
            await until(lambda: ours.idle_connections == 1)
        assert stage.upstream.connections == 1


async def test_push(staged: Staged, ours: Transport) -> None:
    """The body is found behind the SDK's response, and its events come to a translator without the SDK's parser."""
    async with staged() as stage:
        stage.upstream.reply = Reply(stage.sdk.text)
        for _ in range(2):
            batch: list[Any] = []
            splitter, translator = Splitter(), stage.sdk.translator()

            def feed(data: bytes, splitter: Splitter = splitter, translator: Any = translator) -> None:
                for event in splitter.feed(data):
                    translator.take(event, batch)  # noqa: B023 - it is over before the next one

            async with stage.sdk.opened() as response:
                body = body_of(response.http_response)
                assert body is not None
                await body.push(feed)
            assert [item.text for item in batch if isinstance(item, Text)] == ["Hel", "lo"]
            assert translator.ended is not None
        assert (stage.upstream.connections, ours.idle_connections) == (1, 1)


async def test_leaving_a_pushed_stream_closes_it(staged: Staged) -> None:
    """Cancelled in the middle, a push through the SDK closes the upstream."""
    async with staged() as stage:
        stage.upstream.reply = Reply([stage.sdk.text[0], STALL])
        heard = asyncio.Event()

        async def listen() -> None:
            async with stage.sdk.opened() as response:
                body = body_of(response.http_response)
                assert body is not None
                await body.push(lambda _: heard.set())

        task = asyncio.create_task(listen())
        await heard.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await stage.upstream.exchanges[0].closed.wait()


STATUSES = {401: "AuthenticationError", 404: "NotFoundError", 429: "RateLimitError", 500: "InternalServerError"}


@pytest.mark.parametrize("status", sorted(STATUSES))
async def test_refusals(status: int, staged: Staged, ours: Transport) -> None:
    """A status is the SDK's own error, with the body it came with, and the connection is used again."""
    async with staged() as stage:
        stage.upstream.reply = Reply.json({"error": {"type": "t", "message": "no"}}, status, retry_after="1")
        for _ in range(2):
            with pytest.raises(getattr(stage.sdk.errors, STATUSES[status])) as caught:
                await stage.sdk.create(stream=True)
            assert caught.value.response.headers["retry-after"] == "1"
            assert caught.value.response.json()["error"]["message"] == "no"
        assert stage.upstream.connections == ours.idle_connections == 1


FAULTS = {
    "silence": (Reply(before=[STALL]), "APITimeoutError"),
    "reset": (Reply(before=[RESET]), "APIConnectionError"),
    "end": (Reply(before=[FIN]), "APIConnectionError"),
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
async def test_no_answer(fault: str, staged: Staged, ours: Transport) -> None:
    """No head, for whatever reason, is the SDK's error for that."""
    reply, error = FAULTS[fault]
    async with staged(read=0.2) as stage:
        stage.upstream.reply = reply
        with pytest.raises(getattr(stage.sdk.errors, error)):
            await stage.sdk.create(stream=True)
        await until(lambda: ours.open_connections == 0)


async def test_no_server(ours: Transport) -> None:
    """A refused connection is a connection error, and no timeout as over aiohttp."""
    async with Upstream() as upstream:
        url = upstream.url
    sdk = openai_over(ours, url, httpx2.Timeout(None))
    with pytest.raises(openai.APIConnectionError) as caught:
        await sdk.create()
    assert not isinstance(caught.value, openai.APITimeoutError)
    await sdk.close()
