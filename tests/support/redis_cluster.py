"""A Redis Cluster of a test's own: three masters without a replica, of which any may be killed and started again."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from .redis_server import RedisServer

_NODES = 3
# How long a node is not heard of, before a replica has its place.
_OPTIONS = ("--cluster-require-full-coverage", "no", "--cluster-node-timeout", "5000")
_FORMS_S = 30.0
_LOOK_S = 0.05


class RedisCluster:
    """Runs while its block does. A node that is away takes its own slots with it, and no other.

    Args:
        options: Of each node's command line.
        tls: Listen on each node's `tls_port` too, and tell whoever comes that way of no other.
    """

    def __init__(self, *options: str, tls: bool = False) -> None:
        self._options = (*options, *_OPTIONS, *(("--tls-cluster", "yes") if tls else ()))
        self.nodes = [RedisServer(*self._options, tls=tls, cluster=True) for _ in range(_NODES)]
        self._stack = AsyncExitStack()

    @property
    def url(self) -> str:
        """As `REALTIME_REDIS_URL` takes it."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    async def __aenter__(self) -> Self:
        for node in self.nodes:
            await self._stack.enter_async_context(node)
        for number, node in enumerate(self.nodes):
            first, end = (REDIS_CLUSTER_HASH_SLOTS * at // _NODES for at in (number, number + 1))
            await ask(node, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            await ask(node, "CLUSTER", "ADDSLOTSRANGE", first, end - 1)
            for other in self.nodes[:number]:
                await ask(node, "CLUSTER", "MEET", "127.0.0.1", other.port, other.bus_port)
        async with asyncio.timeout(_FORMS_S):
            for node in self.nodes:
                while not await _complete(node):  # noqa: ASYNC110 - another process has no event to wait for
                    await asyncio.sleep(_LOOK_S)
        return self

    async def replicate(self, node: RedisServer) -> None:
        """Have another that takes the place of a node which dies."""
        replica = await self._stack.enter_async_context(RedisServer(*self._options, cluster=True))
        await ask(replica, "CLUSTER", "MEET", "127.0.0.1", node.port, node.bus_port)
        async with asyncio.timeout(_FORMS_S):
            while not await _knows(replica, node):  # noqa: ASYNC110 - as above
                await asyncio.sleep(_LOOK_S)
            await ask(replica, "CLUSTER", "REPLICATE", await _id(node))
            while not await _is_level(replica):  # noqa: ASYNC110 - as above
                await asyncio.sleep(_LOOK_S)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def forget(self) -> None:
        """Be empty again."""
        for node in self.nodes:
            await ask(node, "FLUSHALL")

    async def owner(self, key: str) -> RedisServer:
        """Who has a key."""
        slot = key_slot(key.encode())
        for first, last, (_, port, *_), *_ in await ask(self.nodes[0], "CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == port)
        raise AssertionError(key)

    def after(self, node: RedisServer) -> RedisServer:
        """The next one."""
        return self.nodes[(self.nodes.index(node) + 1) % _NODES]

    async def move(self, key: str, meanwhile: Callable[[bool], Awaitable[None]]) -> None:
        """Give the slot of a key to the next node, as resharding does: its keys one after the other, and then itself.

        Args:
            meanwhile: Awaited before any key has moved, after each, and so before the slot has; told whether the keys
                are all with one node.
        """
        slot, old = key_slot(key.encode()), await self.owner(key)
        new = self.after(old)
        await ask(new, "CLUSTER", "SETSLOT", slot, "IMPORTING", await _id(old))
        await ask(old, "CLUSTER", "SETSLOT", slot, "MIGRATING", await _id(new))
        await meanwhile(True)
        while found := await ask(old, "CLUSTER", "GETKEYSINSLOT", slot, 1):
            await ask(old, "MIGRATE", "127.0.0.1", new.port, "", 0, 5000, "KEYS", *found)
            await meanwhile(not await ask(old, "CLUSTER", "COUNTKEYSINSLOT", slot))
        await self._assign(slot, new, [new, old])

    async def replace(self, lost: RedisServer, key: str) -> None:
        """Give the slot of a key, which went with its node, to the next one."""
        await self._assign(key_slot(key.encode()), self.after(lost), [node for node in self.nodes if node is not lost])

    async def _assign(self, slot: int, to: RedisServer, told: list[RedisServer]) -> None:
        for node in told:
            await ask(node, "CLUSTER", "SETSLOT", slot, "NODE", await _id(to))


async def ask(node: RedisServer, *command: Any) -> Any:
    """The answer of one node to one command."""
    client = node.client()
    try:
        return await client.execute_command(*command)  # type: ignore[no-untyped-call]
    finally:
        await client.aclose()


async def _id(node: RedisServer) -> str:
    found: bytes = await ask(node, "CLUSTER", "MYID")
    return found.decode()


async def _knows(node: RedisServer, other: RedisServer) -> bool:
    return (await _id(other)).encode() in await ask(node, "CLUSTER", "NODES")


async def _is_level(replica: RedisServer) -> bool:
    found = await ask(replica, "INFO", "replication")
    return bool(found["master_link_status"] == "up")


async def _complete(node: RedisServer) -> bool:
    state = (await ask(node, "CLUSTER", "INFO")).decode().split()
    wanted = {"cluster_state:ok", f"cluster_slots_ok:{REDIS_CLUSTER_HASH_SLOTS}", f"cluster_known_nodes:{_NODES}"}
    return wanted <= set(state)
