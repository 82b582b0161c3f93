"""Who carries what: one flusher for each Redis that has some of the logs, so that one which is away, or slow, is waited
for by those whose logs it has, and by nobody else."""

import asyncio
from collections.abc import Callable

from realtime.bus.retention import Retention
from realtime.tasks import TaskRegistry

from .connections import Connections
from .flusher import RedisFlusher
from .keys import lane_of, leases
from .nodes import Place
from .writer import RedisWriter

_REPORT_S = 0.25


class Flushers:
    """See the module; they run until `close`.

    Args:
        report: Called a few times a second.
        lost: See `RedisFlusher`.
    """

    def __init__(
        self,
        connections: Connections,
        retention: Retention,
        report: Callable[[], None],
        lost: Callable[[RedisWriter], None],
    ) -> None:
        self.retention = retention
        self._connections = connections
        self._report = report
        self._lost = lost
        self._flushers: dict[Place | None, RedisFlusher] = {}
        self._closed = False
        self._tasks = TaskRegistry()
        self._reporting = asyncio.get_running_loop().create_task(self._run(), name="redis report")
        connections.on_moved(self._pass_on)

    @property
    def reachable(self) -> bool:
        """Whether anything that was written last was taken."""
        return not self._flushers or any(flusher.reachable for flusher in self._flushers.values())

    @property
    def buffered_bytes(self) -> int:
        """Payload of all that Redis has not acknowledged."""
        return sum(flusher.buffered_bytes for flusher in self._flushers.values())

    def of(self, generation: str) -> RedisFlusher:
        """Who carries what a generation's writer has to say."""
        return self._at(self._connections.place(leases(lane_of(generation))))

    def look_again(self) -> None:
        """See `RedisFlusher.look_again`; of all of them."""
        for flusher in self._flushers.values():
            flusher.look_again()

    async def close(self) -> None:
        """Carry no more."""
        self._closed = True
        self._reporting.cancel()
        await asyncio.wait({self._reporting})
        await asyncio.gather(*(flusher.close() for flusher in self._flushers.values()))
        await self._tasks.drain(1.0)

    def _at(self, place: Place | None) -> RedisFlusher:
        flusher = self._flushers.get(place)
        if flusher is None:
            flusher = self._flushers[place] = RedisFlusher(self._connections, self.retention, self._lost)
        return flusher

    async def _run(self) -> None:
        while True:
            self._report()
            await asyncio.sleep(_REPORT_S)

    def _pass_on(self) -> None:
        """One flusher in each place. A log that is elsewhere now is carried by who carries there, and asked for at
        once: who has taken a place may know less than who had it. What is under way is found to be there already."""
        if self._closed:
            return
        lanes = self._connections.lanes()
        for place in lanes:
            self._at(place)
        for flusher in list(self._flushers.values()):
            for writer in flusher.writers:
                now = self.of(writer.log.meta.generation)
                if now is not flusher:
                    flusher.let_go(writer)
                    writer.doubt()
                    now.add(writer)
        for where, flusher in list(self._flushers.items()):
            if where not in lanes and not flusher.writers:
                del self._flushers[where]
                self._tasks.spawn(flusher.close(), "close a flusher")
