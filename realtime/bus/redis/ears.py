"""One connection by which messages are heard: all of them, or in a cluster those of one node.

A link that swallows everything looks healthy for minutes, so the process also tells itself something there, and where
that is not heard it takes the connection for dead. In a cluster that, and being told that a slot is elsewhere now, is
how a connection ends whose node is not the one to listen to any more.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import NamedTuple

from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from realtime.errors import RealtimeError

from .connections import Connections
from .keys import channels, echo_channel
from .nodes import CALL_S, Place

_logger = logging.getLogger("realtime")

# Between two echoes; after twice that without one the connection is made anew.
ECHO_S = 5.0
_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0


class Hearing(NamedTuple):
    """What all ears of a process have in common.

    Attributes:
        worker: This process's name.
        wanted: The channels that are to be heard, wherever they are told.
        heard: Called with each message.
        anew: Awaited when messages may have been missed.
    """

    worker: str
    wanted: Iterable[str]
    heard: Callable[[bytes], None]
    anew: Callable[[], Awaitable[None]]


class Ear:
    """See the module; runs from construction to `close`.

    Args:
        place: Where it listens.
        lanes: Those that are told there.

    Attributes:
        listening: Whether the connection is believed to hear.
        speaking: Whether the last that the process told itself here was taken; where it was not, that is known before
            it is missed.
    """

    def __init__(self, connections: Connections, place: Place, lanes: tuple[int, ...], hearing: Hearing) -> None:
        self.listening, self.speaking = False, True
        self.lanes = lanes
        self._connections = connections
        self._place = place
        self._hearing = hearing
        self._here = frozenset(name for lane in lanes for name in channels(lane, events=True))
        self._echo = echo_channel(hearing.worker, lanes[0])
        self._echoed = 0.0
        self._listener: PubSub | None = None
        # What was asked to be heard, and what was asked to be heard no longer and has not been confirmed.
        self._confirmed: dict[str, asyncio.Future[None]] = {}
        self._leaving: Counter[str] = Counter()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._run(), name="redis ear"), loop.create_task(self._tell_echoes())]

    async def join(self, names: Iterable[str]) -> None:
        """Listen to channels. Returns when whatever is told there from now on is heard; or, where nothing is heard at
        the moment, at once: what is missed until then is looked for when the connection is there again."""
        if self._listener is None:
            return
        new = [name for name in names if name not in self._confirmed]
        self._confirmed |= {name: asyncio.get_running_loop().create_future() for name in new}
        waiting = [self._confirmed[name] for name in names]
        if new:
            with suppress(RedisError, OSError, TimeoutError):
                await self._connections.listen(self._listener, new)
        with suppress(TimeoutError):
            async with asyncio.timeout(CALL_S):
                for confirmed in waiting:
                    await asyncio.shield(confirmed)

    async def leave(self, name: str) -> None:
        """Listen to it no longer."""
        confirmed = self._confirmed.pop(name, None)
        if confirmed is None or self._listener is None:
            return
        _settle(confirmed)
        self._leaving[name] += 1
        with suppress(RedisError, OSError, TimeoutError):
            await self._connections.ignore(self._listener, name)

    async def close(self) -> None:
        """Listen no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def _run(self) -> None:
        pause_s = _PAUSE_S
        while True:
            listener = self._connections.listener(self._place)
            try:
                await self._listen(listener)
            except (RedisError, OSError, TimeoutError, RealtimeError) as error:
                _logger.warning("redis: listening ended, %s", type(error).__name__)
            finally:
                listened = self.listening
                await self._forget(listener)
            self._connections.metrics.rebuilt.inc()
            self._connections.suspect()
            pause_s = _PAUSE_S if listened else min(2 * pause_s, _LONGEST_PAUSE_S)
            await asyncio.sleep(random.uniform(pause_s / 2, pause_s))  # noqa: S311

    async def _listen(self, listener: PubSub) -> None:
        """Listen by one connection until it fails, or something that is wanted is told elsewhere."""
        loop = asyncio.get_running_loop()
        await self._connections.listen(listener, [self._echo])
        # From here on whoever joins asks for it himself.
        self._listener, self._echoed = listener, loop.time()
        self._confirmed = {name: loop.create_future() for name in self._hearing.wanted if name in self._here}
        missed = {self._echo, *self._confirmed}
        if self._confirmed:
            await self._connections.listen(listener, list(self._confirmed))
        while True:
            async with asyncio.timeout_at(self._echoed + 2 * ECHO_S):
                message = await listener.get_message(timeout=None)
            if message is None:
                continue
            kind, name = message["type"], message["channel"].decode()
            if kind in {"subscribe", "ssubscribe"}:
                self._confirm(name)
                missed.discard(name)
                if not missed and not self.listening:
                    self.listening = True
                    await self._hearing.anew()
            elif kind in {"message", "smessage"}:
                if name == self._echo:
                    self._echoed = loop.time()
                else:
                    self._hearing.heard(message["data"])
            elif self._leaving[name]:
                self._leaving[name] -= 1
            else:
                # Nobody asked for it: its slot is another node's now.
                return

    def _confirm(self, name: str) -> None:
        confirmed = self._confirmed.get(name)
        if confirmed is not None:
            _settle(confirmed)

    async def _forget(self, listener: PubSub) -> None:
        """Close a connection; who waits for it to hear something waits no longer."""
        self.listening, self._listener = False, None
        for confirmed in self._confirmed.values():
            _settle(confirmed)
        self._confirmed.clear()
        self._leaving.clear()
        with suppress(RedisError, OSError, TimeoutError):
            await self._connections.bounded(listener.aclose())  # type: ignore[no-untyped-call]

    async def _tell_echoes(self) -> None:
        while True:
            # Where one was lost, the next comes soon enough not to be missed too.
            await asyncio.sleep(ECHO_S if self.speaking else ECHO_S / 5)
            try:
                await self._connections.all([(self._connections.publish, self._echo, "echo")])
            except RealtimeError:
                self.speaking = False
            else:
                self.speaking = True


def _settle(confirmed: asyncio.Future[None]) -> None:
    if not confirmed.done():
        confirmed.set_result(None)
