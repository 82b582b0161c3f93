"""Stops at any moment of an answer: while it is connected to, before its head, before its first token, amid it, at its
end. The upstream is closed every time, nothing is left of it, and each is accounted for once."""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Literal

import pytest
import trustme

from realtime.hooks import GenerationEnded, Record
from realtime.providers.anthropic import AnthropicProvider
from realtime.providers.openai import OpenAIProvider
from realtime.providers.openai_responses import OpenAIResponsesProvider
from realtime.server.app import Application
from tests.support.http import start, stop
from tests.support.server import RunningServer, serving
from tests.upstream import STALL, Exchange, Reply, Upstream, chat, messages, responses

from .chance import chance
from .scene import in_use, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_AT_ONCE = 8
_TOKENS = [f"{n} " for n in range(30)]
_SAID = {"openai": chat.text(*_TOKENS), "anthropic": messages.text(*_TOKENS), "responses": responses.text(*_TOKENS)}
_WIRES = {"/chat/completions": "openai", "/messages": "anthropic", "/responses": "responses"}

Moment = Literal["connecting", "before the head", "before a token", "amid", "at the end"]
_MOMENTS: tuple[Moment, ...] = ("connecting", "before the head", "before a token", "amid", "at the end")


class _Scene:
    """A server before an upstream that is in the mood a prompt asks for."""

    server: RunningServer

    def __init__(self, upstream: Upstream, rng: Random) -> None:
        self.upstream, self.rng = upstream, rng
        self.providers: dict[str, Any] = {
            "openai": OpenAIProvider("key", upstream.url),
            "anthropic": AnthropicProvider("key", upstream.url),
            "responses": OpenAIResponsesProvider("key", upstream.url),
        }
        self.summaries: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.took_s: list[float] = []
        self._asked: dict[str, asyncio.Future[Exchange]] = {}
        upstream.reply = self._reply

    def attach(self, application: Application) -> None:
        sessions: Any = application.sessions
        sessions._hooks._hooks = (*sessions._hooks._hooks, self._note)

    async def stop_one(self, number: int) -> None:
        """Start a generation, wait for the moment, stop it, and see the upstream closed."""
        moment, loop = self.rng.choice(_MOMENTS), asyncio.get_running_loop()
        name = f"<{number} {moment}>"
        asked = self._asked[name] = loop.create_future()
        generation = await start(self.server.address, model=f"{self.rng.choice(sorted(_SAID))}/m", prompt=name)
        if moment != "connecting":
            exchange = await asked
            if moment == "amid":
                # started, attempt, and some of it.
                await self.server.reached(generation, 3 + self.rng.randrange(len(_TOKENS)))
            elif moment == "at the end":
                await self._turns(60)
            else:
                await exchange.stalled.wait()
        await self._turns(12)
        began = loop.time()
        await stop(self.server.address, generation)
        finished = (await self.server.finished(generation)).finished
        assert finished is not None
        self.outcomes[finished.outcome] += 1
        if asked.done() and not asked.result().answered.is_set():
            await asyncio.wait_for(asked.result().closed.wait(), 20)
            closed_at = asked.result().closed_at
            assert closed_at is not None
            self.took_s.append(closed_at - began)
        del self._asked[name]

    async def _turns(self, most: int) -> None:
        for _ in range(self.rng.randrange(most)):
            await asyncio.sleep(0)

    def _note(self, record: Record, /) -> None:
        if isinstance(record, GenerationEnded):
            self.summaries[record.summary.generation] += 1

    def _reply(self, exchange: Exchange) -> Reply:
        name = next(name for name in self._asked if name.encode() in exchange.raw)
        if not self._asked[name].done():
            self._asked[name].set_result(exchange)
        said = _SAID[next(wire for path, wire in _WIRES.items() if exchange.path.endswith(path))]
        if "head" in name:
            return Reply(before=[STALL])
        if "before a token" in name:
            return Reply([b": hm\n\n", STALL])
        return Reply([*said[:-3], STALL]) if "amid" in name else Reply(said)


@asynccontextmanager
async def acting(tls: ssl.SSLContext | None) -> AsyncIterator[_Scene]:
    async with Upstream(tls=tls) as upstream:
        scene = _Scene(upstream, chance())
        async with serving(scene.providers, prepare=scene.attach) as scene.server:
            yield scene


@pytest.mark.parametrize("how", ["plain", "TLS"])
async def test_the_upstream_is_closed(
    how: str, amount: Callable[[int, int], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every connection is closed, every pool empty, and there is one summary for each; `-s` shows how soon."""
    tls = None
    if how == "TLS":
        authority = trustme.CA()
        tls, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
        authority.issue_cert("127.0.0.1").configure_cert(tls)
        authority.configure_trust(trusting)
        monkeypatch.setattr("realtime.providers.clients._context", lambda: trusting)
    count = amount(150, 1_000)
    numbers = iter(range(count))
    async with acting(tls) as scene:

        async def stop_some() -> None:
            for number in numbers:
                await scene.stop_one(number)

        await asyncio.gather(*(stop_some() for _ in range(_AT_ONCE)))
        await until(
            lambda: not any(map(in_use, scene.providers.values())) and scene.server.sessions.statistics().live == 0,
            lambda: f"in use: {[in_use(one) for one in scene.providers.values()]}",
        )
        left = [one for one in scene.upstream.exchanges if not (one.answered.is_set() or one.closed.is_set())]
        assert left == []
        assert len(scene.summaries) == count
        assert set(scene.summaries.values()) == {1}
    took = sorted(scene.took_s)
    assert len(took) > count / 4
    print(f"{how}: {dict(scene.outcomes)}; closed in ms: p50 {_ms(took, 0.5)}, p99 {_ms(took, 0.99)}, {len(took)} seen")


def _ms(sorted_s: list[float], share: float) -> float:
    return round(1000 * sorted_s[min(int(share * len(sorted_s)), len(sorted_s) - 1)], 1)
