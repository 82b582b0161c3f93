"""The client: one object for one server, holding its HTTP connections and its settings.

Starting and observing are two acts on purpose. A start is retried under its key, an observation is resumed from its
cursor, and neither is ended by losing the connection: only `stop` stops.
"""

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote

import httpx2
import msgspec

from realtime.message import Assembler
from realtime.request import StartRequest

from .backoff import Backoff, Patience
from .calls import Calls, decode
from .errors import ProtocolError
from .observation import Observation, OnDrop
from .place import JsonView, Observed, Reset, Unknown
from .records import Conversation, Generation, Model, Page, Resource, Result, StopAnswer
from .wires import Codec, Target, Wire, Wires

Request = StartRequest | Mapping[str, Any]

_jitter = random.SystemRandom().random


class _Models(msgspec.Struct):
    models: tuple[Model, ...]


class Client:
    """An async client; use it as a context manager.

    Args:
        url: The server, with the path it is mounted at if any: `http://127.0.0.1:8000`.
        api_key: Sent as a bearer token.
        wire: What observations use unless they say otherwise.
        codec: The subprotocol of WebSockets, `realtime.v1.<codec>`.
        tries: How often a request is sent before it counts as unanswered.
        give_up_s: How long an observation goes without progress, drop after drop, before it fails.
        silence_s: A connection without a byte for so long is dead; at least twice the server's heartbeat.
        timeout_s: For one request, and for opening one connection.
        clock, sleep, jitter: Time and chance, for tests.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        wire: Wire = "ws",
        codec: Codec = "json",
        backoff: Backoff = Backoff(),  # noqa: B008 - frozen
        tries: int = 4,
        give_up_s: float = 120.0,
        silence_s: float = 45.0,
        timeout_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = _jitter,
    ) -> None:
        headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        # Any number of observations may be open; a pool that is full would make a stop wait for one of them to end.
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
        self._http = httpx2.AsyncClient(base_url=url, headers=headers, timeout=timeout_s, limits=limits)
        self._wires = Wires(self._http, headers, codec=codec, silence_s=silence_s, open_s=timeout_s)
        self._wire: Wire = wire
        self._backoff, self._give_up_s = backoff, give_up_s
        self._clock, self._sleep, self._jitter = clock, sleep, jitter
        self._calls = Calls(self._http, tries=tries, patience=self._patience, sleep=sleep)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close idle HTTP connections. Observations close their own."""
        await self._http.aclose()

    async def start(self, request: Request, *, idempotency_key: str | None = None) -> Generation:
        """Start a generation, once, however often the request has to be sent.

        Args:
            request: As `POST /v1/generations` takes it; `stream` is left out, since following is `observe`'s.
            idempotency_key: To make a start of an earlier process, or of another client, the same as this one.
        """
        body = dict(msgspec.to_builtins(request))
        body.pop("stream", None)
        response = await self._calls.call(
            "POST",
            "v1/generations",
            content=msgspec.json.encode(body),
            headers={
                "Content-Type": "application/json",
                "Accept": "application/json",
                "Idempotency-Key": idempotency_key or uuid.uuid4().hex,
            },
        )
        resource = decode(response, Resource)
        replayed = response.headers.get("Idempotent-Replayed", "").lower() == "true"
        return Generation(resource.id, resource.state, replayed)

    def observe(
        self,
        generation: str,
        *,
        wire: Wire | None = None,
        after: str | None = None,
        replay: Literal["merged"] | None = None,
        view: Literal["json"] | None = None,
        pace: str | None = None,
        flush_ms: int | None = None,
        on_drop: OnDrop | None = None,
    ) -> Observation:
        """Follow a generation to its end; see `Observation`, and PROTOCOL.md for the options.

        Args:
            after: The cursor to go on from; everything when None.
            on_drop: Called with the reason when a connection broke and another will be tried.

        Raises:
            RealtimeError: `bad_cursor`.
        """
        target = Target(generation, replay, view, pace, flush_ms)
        return Observation(
            self._wires.open,
            target,
            wire or self._wire,
            after=after,
            patience=self._patience(),
            sleep=self._sleep,
            on_drop=on_drop,
        )

    async def generate(
        self,
        request: Request,
        *,
        on_event: Callable[[Observed], object] | None = None,
        wire: Wire | None = None,
        idempotency_key: str | None = None,
    ) -> Result:
        """Start a generation and wait for the whole of it.

        A generation that failed or was stopped is a result, not an exception: look at `finished.outcome`. Cancelling
        the wait does not stop the generation.

        Args:
            on_event: Called with every item as it comes, a `Reset` included.
        """
        started = await self.start(request, idempotency_key=idempotency_key)
        assembler = Assembler()
        async with self.observe(started.generation, wire=wire) as observation:
            async for item in observation:
                if on_event is not None:
                    on_event(item)
                match item.event:
                    case Reset():
                        assembler = Assembler()
                    case Unknown() | JsonView():
                        pass
                    case event:
                        assembler.add(event)
        if observation.finished is None:
            raise ProtocolError("the generation ended in a way this client does not know")
        return Result(started.generation, assembler.message(), observation.finished)

    async def stop(self, generation: str) -> StopAnswer:
        """Ask for an early end; what it found. Asking again, or too late, is no error."""
        return await self._calls.read(StopAnswer, "POST", f"{_path(generation)}/stop")

    async def get(self, generation: str) -> Resource:
        """The generation with its whole message so far."""
        return await self._calls.read(Resource, "GET", _path(generation))

    async def list(
        self, *, limit: int | None = None, before: str | None = None, conversation: str | None = None
    ) -> Page:
        """Generations, newest first."""
        named = {"limit": limit, "before": before, "conversation": conversation}
        params = {name: value for name, value in named.items() if value is not None}
        return await self._calls.read(Page, "GET", "v1/generations", params=params)

    async def erase(self, generation: str) -> None:
        """Erase an ended log. It is gone too when a repeat, after an answer that was lost, does not find it."""
        await self._calls.call("DELETE", _path(generation))

    async def conversation(self, conversation: str) -> Conversation:
        """Which generation of a conversation is active, and which is the latest."""
        return await self._calls.read(Conversation, "GET", f"v1/conversations/{quote(conversation, safe='')}")

    async def models(self) -> tuple[Model, ...]:
        """Models of the server's providers."""
        return (await self._calls.read(_Models, "GET", "v1/models")).models

    def _patience(self) -> Patience:
        return Patience(self._backoff, give_up_s=self._give_up_s, clock=self._clock, random=self._jitter)


def _path(generation: str) -> str:
    return f"v1/generations/{quote(generation, safe='')}"
