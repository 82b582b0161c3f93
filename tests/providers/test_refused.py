"""Refusals whose bodies are no help: they end here when enough of them was had, and the status is what is told."""

import gzip
import random
from collections.abc import AsyncIterator
from typing import Literal

import pytest

from realtime.providers import refused
from realtime.providers.anthropic import AnthropicProvider
from realtime.providers.base import Provider
from realtime.providers.openai import OpenAIProvider
from realtime.providers.refused import MAX_REFUSAL_BYTES

from ..upstream import FIN, RESET, STALL, Reply, Upstream
from .heard import hear

_PIECE = b"x" * 1024


@pytest.fixture(params=["openai", "anthropic"])
async def provider(request: pytest.FixtureRequest, upstream: Upstream) -> AsyncIterator[Provider]:
    made = AnthropicProvider if request.param == "anthropic" else OpenAIProvider
    provider = made("key", upstream.url)
    yield provider
    await provider.close()


async def test_a_refusal_without_end(upstream: Upstream, provider: Provider) -> None:
    """So much of it is read and no more: the connection is closed while most of it was never sent."""
    upstream.reply = Reply([_PIECE] * 100_000, 503)
    heard = await hear(provider)
    assert heard.code == "upstream_overloaded"
    (exchange,) = upstream.exchanges
    await exchange.closed.wait()
    assert not exchange.answered.is_set()


@pytest.mark.parametrize("how", [STALL, RESET, FIN])
async def test_a_refusal_that_breaks_off(
    upstream: Upstream, provider: Provider, how: Literal["stall", "reset", "fin"], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status was said, so that neither silence behind it nor a lost connection is what is told."""
    monkeypatch.setattr(refused, "PATIENCE_S", 0.05)
    upstream.reply = Reply([b'{"error": {"mess', how], 429)
    heard = await hear(provider)
    assert heard.code == "upstream_rate_limited"


async def test_a_compressed_refusal(upstream: Upstream, provider: Provider) -> None:
    """One that was compressed unasked is read too, and it does not matter that its end is missing."""
    body = gzip.compress(random.Random(1).randbytes(4 * MAX_REFUSAL_BYTES))
    upstream.reply = Reply([body], 401, {"content-encoding": "gzip"})
    assert (await hear(provider)).code == "upstream_auth"


async def test_the_connection_of_a_refusal_is_used_again(upstream: Upstream, provider: Provider) -> None:
    """A short one is read to its end, and the next request goes the same way."""
    replies = [Reply.json({"error": {}}, 500), Reply.json({"error": {}}, 500)]
    upstream.reply = lambda _: replies.pop(0)
    for _ in range(2):
        assert (await hear(provider)).code == "upstream_overloaded"
    assert upstream.connections == 1
