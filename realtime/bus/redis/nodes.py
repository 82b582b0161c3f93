"""Those who have keys, and how each is asked. Who has which is known by `One` or by `Cluster`.

redis-py repeats what failed up to ten times, for a minute where a link swallows everything, and again inside of that
for a connection. Here nothing is repeated but by whoever knows what a repeat means, and every call has an end.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol
from urllib.parse import SplitResult, urlsplit

import redis.asyncio as aioredis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from realtime.errors import RealtimeError

from .lines import Lines

# What a call may take before it counts as lost. Redis answers in well under a millisecond.
CALL_S = 2.0
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

    async def ask(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """The answers to several commands, each of one key, in one round trip to each place; at least one.

        Returns:
            Their answers; of one that was refused, or whose place does not answer while another does, its error.

        Raises:
            RealtimeError: `bus_unavailable`: whether any of it was done is not known.
        """
        ...

    def place(self, key: str) -> Place | None:
        """Who has a key; None while nobody is known to."""
        ...

    def node(self, place: Place) -> Node:
        """Of a place, to ask it."""
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


def node_of(url: str) -> Node:
    """One Redis; raises ValueError for what is no url."""
    # `from_pool`: the client closes the pool with itself.
    pool = aioredis.BlockingConnectionPool.from_url(url, timeout=CALL_S, **options())
    return Node(aioredis.Redis.from_pool(pool))


def hosts_of(parts: SplitResult, port: int) -> list[Place]:
    """Who is named in a url of several, where `port` is that of those without one."""
    hosts = (urlsplit(f"//{place}") for place in parts.netloc.rpartition("@")[2].split(","))
    return [Place(host.hostname or "", host.port or port) for host in hosts]


def options() -> dict[str, Any]:
    """How every connection is made."""
    return {
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
        "socket_timeout": None,
        "socket_connect_timeout": CALL_S,
        "socket_keepalive": True,
        "health_check_interval": 0,
        "protocol": 3,
    }
