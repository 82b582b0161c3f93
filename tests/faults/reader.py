"""An observer that outlasts a process, and knows how late it is told."""

import asyncio
import itertools
import math
import time

from tests.history.rows import Row
from tests.support.observer import MOST_CONNECTIONS, Observer
from tests.support.parsers import Frame
from tests.support.raw import WireName
from tests.support.server import Address

# Later than that is not up to date.
_LATE_S = 1.0


class Reader(Observer):
    """See the module.

    Attributes:
        begun: Set when it has some of the answer.
        current: Set by each event that comes soon after it was said; for a test to clear.
        ended: Set when it has the end.
        told_at: Loop time at which the last event came.
        latest_s: The most that an event came later than another.
    """

    patience_s = 200.0

    def __init__(self, generation: str, name: str, rows: list[Row]) -> None:
        super().__init__(generation, name, rows)
        self.begun, self.current, self.ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.told_at = self.latest_s = 0.0
        # From the moment that an event says it was said; not from zero, for that is by another clock.
        self._least_s = math.inf

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
        self.told_at = asyncio.get_running_loop().time()
        after_s = time.monotonic() - frame.value["at"] / 1000
        self._least_s = min(self._least_s, after_s)
        self.latest_s = max(self.latest_s, after_s - self._least_s)
        if after_s - self._least_s <= _LATE_S:
            self.current.set()
        # started, attempt, and something that was said
        if len(self.frames) >= 3:
            self.begun.set()
        if self.finished:
            self.ended.set()
