"""A cluster: which node has which of its slots, asked of any of them and kept up.

redis-py has a client for clusters, which would not do. Of a pipeline it gives no answer when one of its nodes is away;
it closes every connection there is when one node says that the cluster is down; and it sends ASKING, and what was to
follow it, by two connections of a pool. So a node has connections like any Redis, and who has a slot is known here.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import SplitResult, urlsplit

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, MovedError, RedisError

from realtime.errors import RealtimeError

from .nodes import CALL_S, Node, Place, hosts_of, node_of
from .trips import Trips

_logger = logging.getLogger("realtime")

# Between two looks at who has what, and the least between two: where it is suspected to have changed, or nobody says.
_LOOK_S, _LOOK_AGAIN_S, _PAUSE_S = 5.0, 0.25, 1.0
_PORT = 6379


class Cluster:
    """See the module and `Nodes`; looks from construction to `close`.

    Args:
        url: `redis+cluster://[user:password@]host:port[,host:port…]`, or with `rediss`, and with the options of a
            single Redis behind a question mark; any of the nodes will do.

    Raises:
        ValueError: It is none.
    """

    sharded = True

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._seeds = hosts_of(self._parts, _PORT)
        self._nodes: dict[Place, Node] = {}
        # What is no url is refused at once.
        self.node(self._seeds[0])
        self._slots: list[Place | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._moved: list[Callable[[], None]] = []
        self._trips = Trips(self)
        self._suspected = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="redis cluster")

    async def ask(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """See `Nodes`."""
        return await self._trips.ask(commands)

    def place(self, key: str) -> Place | None:
        """See `Nodes`."""
        return self._slots[key_slot(key.encode())]

    def node(self, place: Place) -> Node:
        """See `Nodes`."""
        node = self._nodes.get(place)
        if node is None:
            node = self._nodes[place] = _node(self._parts, place)
        return node

    def redirected(self, error: AskError, asked: Place) -> Place:
        """See `Holders`; what has moved for good is remembered, and what is only on its way is not."""
        place = Place(error.host or asked.host, error.port)
        if isinstance(error, MovedError):
            self._slots[error.slot_id] = place
            self._tell()
            self.suspect()
        return place

    def suspect(self) -> None:
        """See `Nodes`."""
        self._suspected.set()

    def on_moved(self, callback: Callable[[], None]) -> None:
        """See `Nodes`."""
        self._moved.append(callback)
        if any(self._slots):
            callback()

    async def find_master(self) -> None:
        """See `Nodes`; the nodes say it themselves, and who has lost the others refuses what it is asked."""

    async def close(self) -> None:
        """See `Nodes`."""
        self._task.cancel()
        await asyncio.wait({self._task})
        for node in self._nodes.values():
            await node.close()

    def _tell(self) -> None:
        for callback in self._moved:
            callback()

    async def _run(self) -> None:
        while True:
            self._suspected.clear()
            pause_s = _LOOK_AGAIN_S if await self._look() else _PAUSE_S
            await asyncio.sleep(random.uniform(pause_s / 2, pause_s))  # noqa: S311
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._suspected.wait()

    async def _look(self) -> bool:
        """Believe the first who answers; whether anybody did."""
        places = list({*self._seeds, *(place for place in self._slots if place is not None)})
        random.shuffle(places)
        for place in places:
            slots = await self._slots_by(place)
            if slots is None:
                continue
            # A slot that nobody has is still asked for where it was.
            slots = [now or before for now, before in zip(slots, self._slots, strict=True)]
            if slots != self._slots:
                self._slots = slots
                self._tell()
                await self._part_with_the_gone()
            return True
        _logger.warning("redis: no node of the cluster says who has what")
        return False

    async def _slots_by(self, asked: Place) -> list[Place | None] | None:
        """What one node says; None where it does not, or where the others have lost it and it says what was."""
        try:
            # A turn is waited for no longer than an answer: there are others to ask.
            async with asyncio.timeout(CALL_S):
                state, ranges = await self.node(asked).ask([("CLUSTER", "INFO"), ("CLUSTER", "SLOTS")])
        except (RedisError, OSError, TimeoutError, RealtimeError) as error:
            _logger.debug("redis: %s of a node of the cluster", type(error).__name__)
            return None
        if isinstance(state, Exception) or isinstance(ranges, Exception) or b"cluster_state:ok" not in state:
            return None
        slots: list[Place | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        for first, last, (host, port, *_), *_ in ranges:
            place = Place(host.decode() if host else asked.host, port)
            slots[first : last + 1] = [place] * (last + 1 - first)
        return slots

    async def _part_with_the_gone(self) -> None:
        """Close the connections to nodes that have nothing any more."""
        gone = self._nodes.keys() - {*self._seeds, *self._slots}
        for place in gone:
            with suppress(RedisError, OSError):
                await self._nodes.pop(place).close()


def nodes_of(parts: SplitResult) -> list[Node]:
    """Those that a url names; see `Cluster`."""
    return [_node(parts, place) for place in hosts_of(parts, _PORT)]


def _node(parts: SplitResult, place: Place) -> Node:
    """Any node of a cluster, as its url says that nodes are talked to."""
    user, at, _ = parts.netloc.rpartition("@")
    host = f"[{place.host}]" if ":" in place.host else place.host
    way = parts.scheme.removesuffix("+cluster")
    return node_of(f"{way}://{user}{at}{host}:{place.port}{parts.path}?{parts.query}")
