"""The connections to Redis: one client whose calls are never repeated for us, and how to listen.

redis-py repeats what failed up to ten times, for a minute where a link swallows everything, and again inside of that
for a connection. Here nothing is repeated but by whoever knows what a repeat means, and every call has an end.
"""

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import redis.asyncio as aioredis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, OutOfMemoryError, RedisError

from realtime.errors import RealtimeError

from .lines import Lines
from .metrics import BusMetrics
from .scripts import Script

_logger = logging.getLogger("realtime")

# What a call may take before it counts as lost. Redis answers in well under a millisecond.
CALL_S = 2.0
# What a Sentinel may take to say where the master is: several are asked within one call, and the first may be gone.
_SENTINEL_S = 0.75
# For whoever is refused because of it.
_RETRY_AFTER_S = 5.0
# What it may wait before that for a connection: where hundreds want to read at once it is this process that is busy,
# and not Redis that is silent.
_TURN_S = 3 * CALL_S
_POOL = 16

_T = TypeVar("_T")

Call = tuple[Script, Sequence[str], Sequence[Any]]
"""A script, its keys and its arguments."""


class Connections:
    """See the module.

    Args:
        url: `redis://`, `rediss://`; or `redis+sentinel://[user:password@]host:port[,host:port…]/service[/db]`.
        metrics: Of the bus; whoever has something to count has these connections.
    """

    publish = "PUBLISH"

    def __init__(self, url: str, metrics: BusMetrics) -> None:
        self.metrics = metrics
        self._client, self._sentinel = _client(url)
        self._lines = Lines(self._client.connection_pool)
        # One is for whoever listens.
        self._turns = asyncio.Semaphore(_POOL - 1)

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run one script; raises as `call`."""
        return (await self.run_all([(script, keys, args)]))[0]

    async def run_all(self, calls: Iterable[Call]) -> list[Any]:
        """Run several in one round trip; of one that Redis refused the answer is its error.

        Raises:
            RealtimeError: `bus_unavailable`: whether any of it was done is not known.
        """
        calls = list(calls)
        if not calls:
            return []
        answers = await self.all(("EVALSHA", script.sha, len(keys), *keys, *args) for script, keys, args in calls)
        unknown = [at for at, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            # A Redis that was started since, or has just become the one to ask. Sent once, a script is known there.
            again = [calls[at] for at in unknown]
            late = await self.all(("EVAL", script.text, len(keys), *keys, *args) for script, keys, args in again)
            for at, answer in zip(unknown, late, strict=True):
                answers[at] = answer
        return answers

    async def all(self, commands: Iterable[Sequence[Any]]) -> list[Any]:
        """The answers to several commands in one round trip; raises as `run_all`."""
        try:
            async with asyncio.timeout(_TURN_S):
                await self._turns.acquire()
        except TimeoutError:
            raise RealtimeError("bus_unavailable") from None
        try:
            return await self.call(self._lines.ask(list(commands)))
        finally:
            self._turns.release()

    async def bounded(self, answer: Awaitable[_T]) -> _T:
        """Await an answer, for so long and no longer; raises what redis-py raises, and TimeoutError."""
        async with asyncio.timeout(CALL_S):
            return await answer

    async def call(self, answer: Awaitable[_T]) -> _T:
        """The same, in our words.

        Raises:
            RealtimeError: `bus_unavailable`, `bus_full`.
        """
        try:
            return await self.bounded(answer)
        except OutOfMemoryError:
            raise _fault("bus_full") from None
        except (RedisError, OSError, TimeoutError) as error:
            _logger.warning("redis: %s", type(error).__name__)
            raise _fault("bus_unavailable") from None

    async def try_all(self, commands: Iterable[Sequence[Any]]) -> None:
        """The same for commands."""
        with suppress(RealtimeError):
            await self.all(commands)

    async def tell(self, calls: Iterable[Call]) -> None:
        """Run what nobody waits for, and what is made up for when it fails."""
        with suppress(RealtimeError):
            await self.run_all(calls)

    async def find_master(self) -> None:
        """Leave a master that is one no more, though it still answers; where no Sentinel can say so, stay with it."""
        if self._sentinel is not None:
            with suppress(RealtimeError):
                # The pool asks, and lets go of its own connections when it is another.
                await self._lines.leave_others(*await self.call(self._client.connection_pool.get_master_address()))

    def listener(self) -> PubSub:
        """A connection of its own to hear messages by."""
        made: PubSub = self._client.pubsub()
        return made

    async def close(self) -> None:
        """Close every connection."""
        await self._lines.close()
        await self._client.aclose()
        if self._sentinel is not None:
            for one in self._sentinel.sentinels:
                await one.aclose()


def refused(answer: Any) -> RealtimeError | None:
    """The error that one of several answers is, if it is one."""
    if isinstance(answer, OutOfMemoryError):
        return _fault("bus_full")
    if isinstance(answer, Exception):
        _logger.warning("redis: %s", type(answer).__name__)
        return _fault("bus_unavailable")
    return None


def _fault(code: str) -> RealtimeError:
    return RealtimeError(code, retry_after_s=_RETRY_AFTER_S)


def _options() -> dict[str, Any]:
    return {
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
        "socket_timeout": None,
        "socket_connect_timeout": CALL_S,
        "socket_keepalive": True,
        "health_check_interval": 0,
        "protocol": 3,
    }


def _client(url: str) -> tuple[Any, Sentinel | None]:
    parts = urlsplit(url)
    if parts.scheme not in {"redis+sentinel", "rediss+sentinel"}:
        # `from_pool`: the client closes the pool with itself.
        pool = aioredis.BlockingConnectionPool.from_url(url, timeout=CALL_S, **_options())
        return aioredis.Redis.from_pool(pool), None
    places, _, service = parts.netloc.rpartition("@")[2], "", parts.path.strip("/").partition("/")
    hosts = [(host, int(port or 26379)) for host, _, port in (place.partition(":") for place in places.split(","))]
    options = _options() | {"ssl": parts.scheme.startswith("rediss")}
    if parts.username or parts.password:
        options |= {"username": unquote(parts.username or "") or None, "password": unquote(parts.password or "")}
    asked = {name: options[name] for name in ("retry", "retry_on_error", "socket_keepalive", "protocol")}
    asked |= {"socket_timeout": _SENTINEL_S, "socket_connect_timeout": _SENTINEL_S}
    sentinel = Sentinel(hosts, sentinel_kwargs=asked, **options)  # type: ignore[no-untyped-call]
    return sentinel.master_for(service[0], db=int(service[2] or 0)), sentinel
