"""Compares what this process shows with what Redis has, says who is present, and lets go of what nobody reads."""

import asyncio
import logging
import random
from collections.abc import Callable, Iterator
from typing import Protocol

from realtime.errors import RealtimeError
from realtime.log import EventLog

from .answers import refused
from .connections import Call, Connections
from .keys import log_keys
from .lease import LEASE_S
from .scripts import PRESENT
from .shown import Shown

_logger = logging.getLogger("realtime")

WATCH_S = 5.0
_DEAF_S = 0.5
# Who is not heard of for so long is not present.
PRESENT_S = 3 * WATCH_S
# A log that nobody reads is kept for whoever was just told of it.
_IDLE_S = 10.0


class Held(Protocol):
    """The logs of this process."""

    def __iter__(self) -> Iterator[Shown]: ...

    def settle(self, shown: Shown) -> None:
        """Something new is known of it."""
        ...

    def let_go(self, shown: Shown) -> None:
        """Nobody reads it."""
        ...


class Watch:
    """See the module.

    Args:
        worker: This process's name.
        held: What it holds.
        listening: Whether messages arrive; while they do not, this is how observers hear of anything.
    """

    def __init__(
        self,
        connections: Connections,
        worker: str,
        held: Held,
        listening: Callable[[], bool],
    ) -> None:
        self._connections = connections
        self._worker = worker
        self._held = held
        self._listening = listening
        self._task = asyncio.get_running_loop().create_task(self._run(), name="redis watch")

    async def close(self) -> None:
        """Watch no more."""
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _run(self) -> None:
        while True:
            every_s = WATCH_S if self._listening() else _DEAF_S
            await asyncio.sleep(random.uniform(0.8, 1.2) * every_s)  # noqa: S311
            try:
                await self.look(asyncio.get_running_loop().time())
            except RealtimeError as error:
                _logger.warning("redis: what is shown was not compared, %s", error.code)

    async def look(self, now: float) -> None:
        """Once: every log here, in one round trip, and then those that are behind."""
        running: list[Shown] = []
        for shown in self._held:
            shown.gone = shown.gone or shown.adrift
            if shown.idle_since(now) <= now - _IDLE_S:
                self._held.let_go(shown)
            elif not shown.driven:
                # Of one that has ended, its lane is left.
                self._held.settle(shown)
                if shown.log.finished is None and not shown.gone:
                    running.append(shown)
        if not running:
            return
        present = [shown.log for shown in running if shown.log.observers]
        await self._connections.run_all(presence(log, self._worker, here=True) for log in present)
        answers = await self._connections.all(self._question(shown.log) for shown in running)
        for shown, answer in zip(running, answers, strict=True):
            if refused(answer) is not None:
                # Where it is kept nobody answers, or answers so; the others are as they are.
                continue
            if answer[0] is None:
                # A Redis that has forgotten it is told again by whoever drives it, if that is still there.
                shown.gone = shown.gone or shown.missing_for(now) > LEASE_S
            else:
                shown.missing_since = None
                shown.log.stopping = shown.log.stopping or answer[1] is not None
                shown.compare(answer[2].decode())
                shown.tell(int(answer[0]))
                self._connections.metrics.repairs.inc(shown.behind)
            self._held.settle(shown)

    @staticmethod
    def _question(log: EventLog) -> tuple[str, ...]:
        return ("HMGET", log_keys(log.meta.tenant, log.meta.generation).meta, "top", "stop", "branches")


def presence(log: EventLog, worker: str, *, here: bool, message: bytes = b"", publish: str = "PUBLISH") -> Call:
    """What says that a process has observers of a log, or no more; `message` tells the others at once."""
    keys = log_keys(log.meta.tenant, log.meta.generation)
    holds = int(PRESENT_S * 1000) if here else ""
    return PRESENT, (keys.seen,), (worker, holds, message, publish, keys.asked)
