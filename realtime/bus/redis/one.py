"""All keys in one place: in one Redis, or with whoever a Sentinel says is the master."""

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from redis.asyncio.sentinel import Sentinel

from .answers import in_our_words
from .nodes import Node, Place, hosts_of, node_of, options

# What a Sentinel may take to say where the master is: several are asked within one call, and the first may be gone.
_SENTINEL_S = 0.75


class One:
    """See the module and `Nodes`.

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

    async def ask(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """See `Nodes`; they go as they come. Where this is a node of a cluster that was taken for all of it, whom it
        names is not asked."""
        return await in_our_words(self._node.ask(commands))

    def place(self, key: str) -> Place:  # noqa: ARG002
        """Always the same."""
        return self._place

    def node(self, place: Place) -> Node:  # noqa: ARG002
        """See `Nodes`."""
        return self._node

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


def _sentinel(parts: SplitResult) -> Sentinel:
    how = options() | {"ssl": parts.scheme.startswith("rediss")}
    if parts.username or parts.password:
        how |= {"username": unquote(parts.username or "") or None, "password": unquote(parts.password or "")}
    asked = {name: how[name] for name in ("retry", "retry_on_error", "socket_keepalive", "protocol")}
    asked |= {"socket_timeout": _SENTINEL_S, "socket_connect_timeout": _SENTINEL_S}
    return Sentinel(hosts_of(parts, 26379), sentinel_kwargs=asked, **how)  # type: ignore[no-untyped-call]
