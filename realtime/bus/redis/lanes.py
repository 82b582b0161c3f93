"""What is told in Redis, heard by one connection for the whole process, or in a cluster by one to each of its nodes.

A message may be missed, and nothing depends on one: logs are compared with Redis every few seconds, and a stop comes
with the next renewal too.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

from realtime.errors import RealtimeError
from realtime.tasks import TaskRegistry

from .connections import Connections
from .ears import Ear, Hearing
from .keys import channels
from .nodes import CALL_S, Place


class Lanes:
    """See the module; runs from construction to `close`.

    Args:
        worker: This process's name.
        heard: Called with each message.
        anew: Awaited when messages may have been missed.
    """

    def __init__(
        self, connections: Connections, worker: str, heard: Callable[[bytes], None], anew: Callable[[], Awaitable[None]]
    ) -> None:
        self._connections = connections
        self._anew = anew
        self._wanted: Counter[str] = Counter()
        self._hearing = Hearing(worker, self._wanted, heard, self._heard_anew)
        self._ears: dict[Place, Ear] = {}
        self._complete = asyncio.Event()
        self._closed = False
        self._tasks = TaskRegistry()
        connections.on_moved(self._seat)

    @property
    def listening(self) -> bool:
        """Whether all that is told is believed to be heard."""
        return bool(self._ears) and all(ear.listening for ear in self._ears.values())

    @property
    def hearing(self) -> bool:
        """Whether any of it is, where something can be told too."""
        return any(ear.listening and ear.speaking for ear in self._ears.values())

    async def join(self, lane: int, *, events: bool = False) -> None:
        """Listen to a lane, once more; see `Ear.join`.

        Args:
            events: To the events of its logs too, which whoever writes them need not be told.
        """
        names = channels(lane, events=events)
        self._wanted.update(names)
        ear = self._ear(names[0])
        if ear is not None:
            await ear.join(names)

    async def leave(self, lane: int, *, events: bool = False) -> None:
        """Listen to it once less; `events` as when it was joined."""
        for name in channels(lane, events=events):
            self._wanted[name] -= 1
            if self._wanted[name] <= 0:
                del self._wanted[name]
                ear = self._ear(name)
                if ear is not None:
                    await ear.leave(name)

    async def ready(self) -> None:
        """Return when it listens to all that there is, or after a while to some of it.

        Raises:
            RealtimeError: `bus_unavailable`: it does not come to that.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(2 * CALL_S):
                await self._complete.wait()
        if not self.hearing:
            raise RealtimeError("bus_unavailable")

    async def close(self) -> None:
        """Listen no more."""
        self._closed = True
        await asyncio.gather(*(ear.close() for ear in self._ears.values()))
        await self._tasks.drain(CALL_S)

    def _ear(self, name: str) -> Ear | None:
        place = self._connections.place(name)
        return None if place is None else self._ears.get(place)

    def _seat(self) -> None:
        """One ear in each place. Where lanes have come or gone it is made anew: that is rare, and what is told in the
        meantime is looked for."""
        if self._closed:
            return
        lanes = self._connections.lanes()
        for place, ear in list(self._ears.items()):
            if lanes.get(place) != ear.lanes:
                del self._ears[place]
                self._tasks.spawn(ear.close(), f"leave {place.host}:{place.port}")
        for place, here in lanes.items():
            if place not in self._ears:
                self._ears[place] = Ear(self._connections, place, here, self._hearing)

    async def _heard_anew(self) -> None:
        if self.listening:
            self._complete.set()
        await self._anew()
