"""What is told in Redis, heard by one connection for the whole process.

A message may be missed, and nothing depends on one: logs are compared with Redis every few seconds, and a stop comes
with the next renewal too. But a link that swallows everything looks healthy for minutes, so the process also tells
itself something, and where that is not heard it takes the connection for dead.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

from redis.exceptions import RedisError

from realtime.errors import RealtimeError

from .connections import CALL_S, Connections
from .keys import asked, echo_channel, told

_logger = logging.getLogger("realtime")

# Between two echoes; after twice that without one the connection is made anew.
ECHO_S = 5.0
_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0


class Lanes:
    """See the module; runs from construction to `close`.

    Args:
        worker: This process's name.
        heard: Called with each message.
        anew: Awaited when messages may have been missed.

    Attributes:
        listening: Whether the connection is believed to hear.
        speaking: Whether the last that it told itself was taken; where it was not, that is known before it is missed.
    """

    def __init__(
        self, connections: Connections, worker: str, heard: Callable[[bytes], None], anew: Callable[[], Awaitable[None]]
    ) -> None:
        self.listening, self.speaking = False, True
        self._connections = connections
        self._echo = echo_channel(worker)
        self._heard = heard
        self._anew = anew
        self._wanted: Counter[str] = Counter()
        self._confirmed: dict[str, asyncio.Future[None]] = {}
        self._listener: Any = None
        self._echoed = 0.0
        loop = asyncio.get_running_loop()
        self._first: asyncio.Future[None] = loop.create_future()
        self._tasks = [loop.create_task(self._run(), name="redis lanes"), loop.create_task(self._tell_echoes())]

    async def join(self, lane: int, *, events: bool = False) -> None:
        """Listen to a lane, once more. Returns when whatever is told there from now on is heard; or, where nothing is
        heard at the moment, at once: what is missed until then is looked for when the connection is there again.

        Args:
            events: To the events of its logs too, which whoever writes them need not be told.
        """
        names = _channels(lane, events=events)
        self._wanted.update(names)
        new = [name for name in names if self._wanted[name] == 1]
        if new:
            self._confirmed |= {name: asyncio.get_running_loop().create_future() for name in new}
            await self._try(lambda listener: listener.subscribe(*new))
        if self._listener is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(CALL_S):
                    for name in names:
                        await asyncio.shield(self._confirmed[name])

    async def leave(self, lane: int, *, events: bool = False) -> None:
        """Listen to it once less; `events` as when it was joined."""
        for name in _channels(lane, events=events):
            self._wanted[name] -= 1
            if self._wanted[name] <= 0:
                del self._wanted[name]
                confirmed = self._confirmed.pop(name, None)
                if confirmed is not None:
                    confirmed.cancel()
                await self._try(partial(_unsubscribe, name))

    async def ready(self) -> None:
        """Return when it listens; raises `bus_unavailable` when it does not come to that."""
        try:
            async with asyncio.timeout(2 * CALL_S):
                await self._first
        except TimeoutError:
            raise RealtimeError("bus_unavailable") from None

    async def close(self) -> None:
        """Listen no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        await self._drop()

    async def _try(self, change: Callable[[Any], Awaitable[Any]]) -> None:
        """Change what is listened to, if there is a connection; a new one listens to all that is wanted anyway."""
        if self._listener is not None:
            with suppress(RedisError, OSError, TimeoutError):
                await self._connections.bounded(change(self._listener))

    async def _run(self) -> None:
        pause_s = _PAUSE_S
        while True:
            try:
                await self._listen()
            except (RedisError, OSError, TimeoutError, RealtimeError) as error:
                _logger.warning("redis: listening ended, %s", type(error).__name__)
            if self.listening:
                self.listening, pause_s = False, _PAUSE_S
            self._connections.metrics.rebuilt.inc()
            await self._drop()
            await asyncio.sleep(random.uniform(pause_s / 2, pause_s))  # noqa: S311
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _listen(self) -> None:
        """Listen on one connection until it fails."""
        loop = asyncio.get_running_loop()
        listener = self._connections.listener()
        missed = {self._echo, *self._wanted}
        try:
            await self._connections.bounded(listener.subscribe(*missed))
        finally:
            # Whatever it came to, it is to be closed; and who joins from now on tells it so.
            self._listener = listener
        # Whoever joined while the connection was being made has asked nobody.
        joined = self._wanted.keys() - missed
        if joined:
            missed |= joined
            await self._connections.bounded(listener.subscribe(*joined))
        self._echoed = loop.time()
        while True:
            limit = self._echoed + 2 * ECHO_S
            async with asyncio.timeout_at(limit):
                message = await listener.get_message(timeout=None)
            if message is None:
                continue
            name = message["channel"].decode()
            if message["type"] == "subscribe":
                self._confirm(name)
                missed.discard(name)
                if not missed and not self.listening:
                    self.listening = True
                    if not self._first.done():
                        self._first.set_result(None)
                    await self._anew()
            elif message["type"] == "message":
                self._echoed = loop.time() if name == self._echo else self._echoed
                if name != self._echo:
                    self._heard(message["data"])

    def _confirm(self, name: str) -> None:
        confirmed = self._confirmed.get(name)
        if confirmed is not None and not confirmed.done():
            confirmed.set_result(None)

    async def _drop(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(RedisError, OSError, TimeoutError):
                await self._connections.bounded(listener.aclose())

    async def _tell_echoes(self) -> None:
        while True:
            # Where one was lost, the next comes soon enough not to be missed too.
            await asyncio.sleep(ECHO_S if self.speaking else ECHO_S / 5)
            try:
                await self._connections.all([("PUBLISH", self._echo, "echo")])
            except RealtimeError:
                self.speaking = False
            else:
                self.speaking = True


def _channels(lane: int, *, events: bool) -> tuple[str, ...]:
    return (asked(lane), told(lane)) if events else (asked(lane),)


def _unsubscribe(name: str, listener: Any) -> Awaitable[Any]:
    done: Awaitable[Any] = listener.unsubscribe(name)
    return done
