"""Finds logs whose writer is gone, and takes them over.

A clock that jumps, or a Redis that stood still, must not make orphans of all that lives: a log is one only when this
process itself has seen its lease run out, and a renewal later still.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable

from realtime.errors import RealtimeError

from .answers import refused
from .connections import Connections
from .keys import LANES, leases
from .lease import RENEW_S
from .scripts import OVERDUE

_logger = logging.getLogger("realtime")

SWEEP_S = 1.5
# At once; those that many dead drivers leave behind are shared by whoever sweeps.
_AT_ONCE = 100


class Sweep:
    """See the module; runs from construction to `close`.

    Args:
        orphaned: Awaited with each orphan, as `leases` names it.
    """

    def __init__(self, connections: Connections, orphaned: Callable[[str], Awaitable[None]]) -> None:
        self._connections = connections
        self._orphaned = orphaned
        self._seen: dict[str, tuple[float, float]] = {}
        self._task = asyncio.get_running_loop().create_task(self._run(), name="redis sweep")

    async def close(self) -> None:
        """Sweep no more."""
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(random.uniform(0.8, 1.2) * SWEEP_S)  # noqa: S311
            try:
                orphans = await self.look(asyncio.get_running_loop().time())
            except RealtimeError:
                # What was seen before the silence says nothing of what is now.
                self._seen.clear()
                continue
            for member in orphans:
                try:
                    await self._orphaned(member)
                except RealtimeError as error:
                    _logger.warning("redis: an orphan is left for the next sweep, %s", error.code)

    async def look(self, now: float) -> list[str]:
        """One sweep: who has been without a lease since an earlier one."""
        # A master that was replaced knows of no renewal since.
        await self._connections.find_master()
        answers = await self._connections.run_all((OVERDUE, (leases(lane),), (_AT_ONCE,)) for lane in range(LANES))
        seen: dict[str, tuple[float, float]] = {}
        for answer in answers:
            if refused(answer) is not None:
                # As in any silence, of this lane only.
                continue
            for member, score in _scored(answer):
                first, until = self._seen.get(member, (now, score))
                seen[member] = (first, until) if until == score else (now, score)
        self._seen = seen
        return [member for member, (first, _) in seen.items() if now - first >= RENEW_S]


def _scored(answer: Iterable[bytes]) -> list[tuple[str, float]]:
    """Members and scores, which a script gives one after the other."""
    flat = iter(answer)
    return [(member.decode(), float(score)) for member, score in zip(flat, flat, strict=True)]
