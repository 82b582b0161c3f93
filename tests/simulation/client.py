"""What stands where redis-py and the bus's own lines to it stand, under `Node`."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from redis.exceptions import ConnectionError as Disconnected

from realtime.bus.redis.lines import Parts

from .network import Link
from .server import Command


class Listener:
    """A connection that listens, in the place of redis-py's PubSub."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._inbox: deque[dict[str, Any]] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._connected = self._broken = False
        # No later message arrives before an earlier one.
        self._there = self._back = 0.0

    async def subscribe(self, *names: str) -> None:
        """See PubSub; raises Disconnected."""
        if not self._connected:
            await self._link.ask([("PING",)])
            self._connected = True
            self._link.listeners.append(self)
            if self._link.happens(self._link.weather.lost_requests):
                raise Disconnected
        await self._send([partial(self._link.server.listen, self, name.encode()) for name in names])

    async def unsubscribe(self, *names: str) -> None:
        """See PubSub; raises Disconnected."""
        await self._send([partial(self._link.server.unlisten, self, name.encode()) for name in names])

    async def get_message(self, timeout: None) -> dict[str, Any]:  # noqa: ASYNC109 - redis-py's name
        """See PubSub; raises Disconnected."""
        while not self._inbox:
            if self._broken or self._link.ended:
                raise Disconnected
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        return self._inbox.popleft()

    async def aclose(self) -> None:
        """See PubSub."""
        self._broken = True
        if self._connected:
            self._link.listeners.remove(self)
        self._link.world.after(self._link.delay(), partial(self._link.server.forget, self))

    async def _send(self, asked: list[Callable[[], None]]) -> None:
        if self._broken or self._link.ended:
            raise Disconnected
        self._there = max(self._there, self._link.world.now + self._link.delay())
        for callback in asked:
            self._link.world.at(self._there, partial(self._arrive, callback))

    def _arrive(self, callback: Callable[[], None]) -> None:
        if self._link.cut:
            self._link.swallow(partial(self._arrive, callback))
        elif self._link.server.frozen:
            self._link.server.when_it_goes_on(partial(self._arrive, callback))
        elif not self._broken and not self._link.server.down:
            callback()

    # From the server.

    def hear(self, kind: str, channel: bytes, data: Any) -> None:
        """See `Subscriber`."""
        if kind == "message" and self._link.happens(self._link.weather.lost_messages):
            return
        self._back = max(self._back, self._link.world.now + self._link.delay())
        self._link.world.at(self._back, partial(self._take, {"type": kind, "channel": channel, "data": data}))

    def end(self) -> None:
        """See `Subscriber`."""
        self._back = max(self._back, self._link.world.now + self._link.delay())
        self._link.world.at(self._back, self._end)

    def _take(self, message: dict[str, Any]) -> None:
        if self._link.cut:
            self._link.swallow(partial(self._take, message))
        elif not self._broken:
            self._inbox.append(message)
            self._wake()

    def _end(self) -> None:
        if self._link.cut:
            self._link.swallow(self._end)
        else:
            self._broken = True
            self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class Lines:
    """In the place of the bus's own, as far as `Node` uses them.

    Args:
        link: In the place of a pool.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to several commands; raises Disconnected."""
        return await self._link.ask([tuple(_spread(command)) for command in commands])

    async def close(self) -> None:
        """There is nothing to close."""


class Client:
    """In the place of redis-py's, as far as `Node` uses it."""

    def __init__(self, link: Link) -> None:
        self.connection_pool = link

    def pubsub(self) -> Listener:
        """A connection to listen by."""
        return Listener(self.connection_pool)

    async def aclose(self) -> None:
        """There is nothing to close."""


def _spread(command: Iterable[Any]) -> Iterator[Any]:
    """A command part by part, also where some of them were made ready to be sent."""
    for part in command:
        if not isinstance(part, Parts):
            yield part
            continue
        data = part.data
        while data:
            length, _, data = data[1:].partition(b"\r\n")
            yield data[: int(length)]
            data = data[int(length) + 2 :]
