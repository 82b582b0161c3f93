"""A stop, from any wire, with either provider, before the first token or after it, closes the provider's socket."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import msgpack
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from realtime.providers.anthropic import AnthropicProvider
from realtime.providers.base import Provider
from realtime.providers.openai import OpenAIProvider
from tests.support.http import start, stop
from tests.support.server import RunningServer, serving
from tests.upstream import STALL, Reply, Upstream, chat, messages

Stop = Callable[[RunningServer, str], Awaitable[None]]

# An upstream that is not closed is noticed well before the idle deadline would close it.
_CLOSES_S = 5.0


def made(kind: str, url: str) -> Provider:
    """A provider of either kind."""
    return AnthropicProvider("key", url) if kind == "anthropic" else OpenAIProvider("key", url)


SAID = {"openai": chat.text("x", finish=None), "anthropic": messages.text("x", whole=False)}


async def over_http(server: RunningServer, generation: str) -> None:
    """Stop it with a POST."""
    await stop(server.address, generation)


def over_a_socket(codec: str, encode: Callable[[Any], str | bytes], decode: Callable[[Any], Any]) -> Stop:
    """Stop it with a command in one of the subprotocols."""

    async def command(server: RunningServer, generation: str) -> None:
        url = f"{server.url.replace('http', 'ws')}/v1/ws"
        async with connect(url, subprotocols=[Subprotocol(f"realtime.v1.{codec}")]) as socket:
            await socket.send(encode({"type": "stop", "ref": 1, "generation": generation}))
            assert decode(await socket.recv())["type"] == "ok"

    return command


STOPS: dict[str, Stop] = {
    "HTTP": over_http,
    "JSON": over_a_socket("json", json.dumps, json.loads),
    "MessagePack": over_a_socket("msgpack", msgpack.packb, msgpack.unpackb),
}


@pytest.mark.parametrize("when", ["before the headers", "before a token", "after a token"])
@pytest.mark.parametrize("kind", sorted(SAID))
@pytest.mark.parametrize("wire", sorted(STOPS))
async def test_a_stop_closes_the_upstream(wire: str, kind: str, when: str) -> None:
    """The provider sees its connection closed, in mid-answer, and the generation ends as stopped by its owner."""
    replies = {
        "before the headers": Reply(before=[STALL]),
        "before a token": Reply([b": hm\n\n", STALL]),
        "after a token": Reply([*SAID[kind], STALL]),
    }
    async with Upstream(replies[when]) as upstream, serving({kind: made(kind, upstream.url)}) as server:
        generation = await start(server.address, model=f"{kind}/m", prompt="x")
        exchange = await upstream.next_exchange()
        await exchange.stalled.wait()
        if when == "after a token":
            # started, attempt, text
            await server.reached(generation, 3)
        await STOPS[wire](server, generation)
        async with asyncio.timeout(_CLOSES_S):
            await exchange.closed.wait()
        finished = (await server.finished(generation)).finished
    assert finished is not None
    assert (finished.outcome, finished.stopped_by) == ("stopped", "owner")
    assert not exchange.answered.is_set()
