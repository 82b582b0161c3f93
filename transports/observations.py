"""The observations of one socket: at most one a generation, each pumped by a task of its own."""

import asyncio
import logging
from collections.abc import Callable

from realtime.errors import RealtimeError
from realtime.hooks import Leaving
from realtime.observation import Observation

from .pump import Pump

_logger = logging.getLogger("realtime")

MAX_OBSERVATIONS = 64


class _Held:
    """An observation and, once it is served, what serves it."""

    __slots__ = ("observation", "pump", "task")

    def __init__(self, observation: Observation) -> None:
        self.observation = observation
        self.pump: Pump | None = None
        self.task: asyncio.Task[None] | None = None


class Observations:
    """See the module."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}

    def refuse_when_full(self, generation: str | None = None) -> None:
        """Raise `limit_observations` unless there is room for one more, or `generation` has its place already."""
        limit = MAX_OBSERVATIONS
        if len(self._held) >= limit and generation not in self._held:
            raise RealtimeError("limit_observations", f"A socket has at most {limit} observations.", limit=limit)

    def hold(self, observation: Observation) -> None:
        """Keep an observation, so that it is closed whatever happens before it is pumped."""
        self._held[observation.log.meta.generation] = _Held(observation)

    def pump(self, observation: Observation, pump: Pump, failed: Callable[[], None]) -> None:
        """Serve a held observation in a task of its own.

        Args:
            failed: Called when it failed in a way nobody foresaw.
        """
        generation = observation.log.meta.generation
        held = self._held[generation]
        held.pump = pump
        held.task = asyncio.get_running_loop().create_task(self._run(held, pump, failed), name=f"pump {generation}")

    async def _run(self, held: _Held, pump: Pump, failed: Callable[[], None]) -> None:
        """Not run at all when it is cancelled before its first step, so `drop` relies on nothing that is done here."""
        generation = held.observation.log.meta.generation
        why: Leaving = "disconnected"
        try:
            why = await pump.run()
        except OSError:
            return
        except Exception:
            _logger.exception("observing %s failed", generation)
            failed()
        finally:
            # A task that was cancelled keeps its frames, which keep this.
            held.task = held.pump = None
            held.observation.close(why)
            if self._held.get(generation) is held:
                del self._held[generation]

    async def conclude(self) -> None:
        """Give the observers of what has ended the rest at once, and wait until they have it."""
        while tasks := [task for held in self._held.values() if (task := _hurried(held)) is not None]:
            await asyncio.wait(tasks)

    async def drop(self, generation: str, why: Leaving) -> None:
        """End the observation of a generation, if there is one; nothing of it is sent once this returns."""
        held = self._held.pop(generation, None)
        if held is None:
            return
        held.observation.close(why)
        if held.task is not None:
            task, held.task = held.task, None
            task.cancel()
            await asyncio.wait({task})

    async def close(self, why: Leaving) -> None:
        """End them all."""
        for generation in list(self._held):
            await self.drop(generation, why)


def _hurried(held: _Held) -> asyncio.Task[None] | None:
    """The task of an observation whose log is over, told that there is no time left."""
    if held.pump is None or held.observation.log.finished is None:
        return None
    held.pump.wake("bye")
    return held.task
