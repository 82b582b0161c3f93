"""Where keys are: in one Redis, with whoever a Sentinel says is the master, or with a node of a cluster.

redis-py repeats what failed up to ten times, for a minute where a link swallows everything, and again inside of that
for a connection. Here nothing is repeated but by whoever knows what a repeat means, and every call has an end.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol
from urllib.parse import SplitResult, unquote, urlsplit

import redis.asyncio as aioredis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import AskError

from realtime.errors import RealtimeError

from .lines import Lines

# What a call may take before it counts as lost. Redis answers in well under a millisecond.
CALL_S = 2.0
# What a Sentinel may take to say where the master is: several are asked within one call, and the first may be gone.
_SENTINEL_S = 0.75
# What a call may wait before that for a connection: where hundreds want to read at once it is this process that is
# busy, and not Redis that is silent.
_TURN_S = 3 * CALL_S
_POOL = 16


class Place(NamedTuple):
    """One Redis of those that share the keys."""

    host: str
    port: int


class Node:
    """One place as it is asked, over connections of its own: who waits for it holds up nobody who asks elsewhere.

    Args:
        client: Of redis-py, whose pool knows how to connect.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lines = Lines(client.connection_pool)
        # One is for whoever listens.
        self._turns = asyncio.Semaphore(_POOL - 1)

    async def ask(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """The answers to several commands in one round trip, by one connection; of one that is refused its error.

        Raises:
            RealtimeError: `bus_unavailable`: this process has too much to ask.
            redis.exceptions.RedisError: Whether any of it was done is not known; and OSError and TimeoutError likewise.
        """
        try:
            async with asyncio.timeout(_TURN_S):
                await self._turns.acquire()
        except TimeoutError:
            raise RealtimeError("bus_unavailable") from None
        try:
            async with asyncio.timeout(CALL_S):
                return await self._lines.ask(commands)
        finally:
            self._turns.release()

    def listener(self) -> PubSub:
        """A connection of its own to hear messages by."""
        made: PubSub = self._client.pubsub()
        return made

    async def find_master(self) -> None:
        """Ask a Sentinel, and leave a master that is one no more, though it still answers; raises as `ask`."""
        async with asyncio.timeout(CALL_S):
            # The pool asks, and lets go of its own connections when it is another.
            await self._lines.leave_others(*await self._client.connection_pool.get_master_address())

    async def close(self) -> None:
        """Close every connection."""
        await self._lines.close()
        await self._client.aclose()


class Nodes(Protocol):
    """Who has which key.

    Attributes:
        sharded: Messages are told where the slot of their channel is, and nowhere else.
    """

    sharded: bool

    def place(self, key: str) -> Place | None:
        """Who has a key; None while nobody is known to."""
        ...

    def node(self, place: Place) -> Node:
        """Of a place, to ask it."""
        ...

    def redirected(self, error: AskError, asked: Place) -> Place:
        """Whom the answer of another names instead."""
        ...

    def suspect(self) -> None:
        """Keys may be elsewhere than is known; find out."""
        ...

    def on_moved(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever keys are elsewhere; and now, if it is known where they are."""
        ...

    async def find_master(self) -> None:
        """Leave a master that is one no more, though it still answers, where somebody can say so; raises as
        `Node.ask`."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


class One:
    """All keys in one place.

    Args:
        url: `redis://`, `rediss://`; or `redis+sentinel://[user:password@]host:port[,host:port…]/service[/db]`.

    Raises:
        ValueError: It is none of these.
    """

    sharded = False

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._place = Place("", 0)
        self._sentinel = _sentinel(parts) if parts.scheme.endswith("+sentinel") else None
        if self._sentinel is None:
            self._node = node_of(url)
        else:
            service, _, db = parts.path.strip("/").partition("/")
            self._node = Node(self._sentinel.master_for(service, db=int(db or 0)))

    def place(self, key: str) -> Place:  # noqa: ARG002
        """Always the same."""
        return self._place

    def node(self, place: Place) -> Node:  # noqa: ARG002
        """See `Nodes`."""
        return self._node

    def redirected(self, error: AskError, asked: Place) -> Place:  # noqa: ARG002
        """A node of a cluster that was taken for all of it; whom it names is not asked."""
        return asked

    def suspect(self) -> None:
        """There is nowhere else to look."""

    def on_moved(self, callback: Callable[[], None]) -> None:
        """See `Nodes`."""
        callback()

    async def find_master(self) -> None:
        """See `Nodes`; where there is no Sentinel there is nobody to ask."""
        if self._sentinel is not None:
            await self._node.find_master()

    async def close(self) -> None:
        """See `Nodes`."""
        await self._node.close()
        if self._sentinel is not None:
            for one in self._sentinel.sentinels:
                await one.aclose()


def node_of(url: str) -> Node:
    """One Redis; raises ValueError for what is no url."""
    # `from_pool`: the client closes the pool with itself.
    pool = aioredis.BlockingConnectionPool.from_url(url, timeout=CALL_S, **_options())
    return Node(aioredis.Redis.from_pool(pool))


def hosts_of(parts: SplitResult, port: int) -> list[Place]:
    """Who is named in a url of several, where `port` is that of those without one."""
    hosts = (place.partition(":") for place in parts.netloc.rpartition("@")[2].split(","))
    return [Place(host, int(given or port)) for host, _, given in hosts]


def _sentinel(parts: SplitResult) -> Sentinel:
    options = _options() | {"ssl": parts.scheme.startswith("rediss")}
    if parts.username or parts.password:
        options |= {"username": unquote(parts.username or "") or None, "password": unquote(parts.password or "")}
    asked = {name: options[name] for name in ("retry", "retry_on_error", "socket_keepalive", "protocol")}
    asked |= {"socket_timeout": _SENTINEL_S, "socket_connect_timeout": _SENTINEL_S}
    return Sentinel(hosts_of(parts, 26379), sentinel_kwargs=asked, **options)  # type: ignore[no-untyped-call]


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
