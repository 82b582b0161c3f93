"""An observer that outlasts a process, and notes how late it was told of each event."""

import asyncio
import itertools
import time
from typing import NamedTuple

from tests.history.rows import Row
from tests.support.observer import MOST_CONNECTIONS, Observer
from tests.support.parsers import Frame
from tests.support.raw import WireName
from tests.support.server import Address


class Arrival(NamedTuple):
    """When an event came, in the loop's time, and how long it had been said by then."""

    at: float
    late_s: float


class Reader(Observer):
    """See the module.

    Attributes:
        begun: Set when it has some of the answer.
        ended: Set when it has the end.
        arrivals: Of every event that came.
    """

    patience_s = 200.0

    def __init__(self, generation: str, name: str, rows: list[Row]) -> None:
        super().__init__(generation, name, rows)
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()
        self.arrivals: list[Arrival] = []
        self._created_s = 0.0

    async def read(self, wire: WireName, *addresses: Address) -> None:
        """Read to the end; cut off, or asked to leave, it comes again at once, at the next of the addresses."""
        for address in itertools.cycle(addresses):
            assert self.connections < MOST_CONNECTIONS, f"{self.name} does not get on"
            end = await self.watch(address, wire)
            assert end.error is None, end
            if self.finished:
                return

    def _accept(self, frame: Frame) -> None:
        super()._accept(frame)
        if not frame.is_event:
            return
        value = frame.value
        if value["type"] == "started":
            self._created_s = value["created_ms"] / 1000
        late_s = time.time() - self._created_s - value["at"] / 1000
        self.arrivals.append(Arrival(asyncio.get_running_loop().time(), late_s))
        # started, attempt, and something that was said
        if len(self.frames) >= 3:
            self.begun.set()
        if self.finished:
            self.ended.set()
