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


class Observations:
    """See the module.

    Args:
        failed: Called when a pump failed in a way nobody foresaw.
    """

    def __init__(self, failed: Callable[[], None]) -> None:
        self._failed = failed
        self._held: dict[str, Observation] = {}
        self._tasks: dict[Observation, asyncio.Task[None]] = {}

    def refuse_when_full(self, generation: str | None = None) -> None:
        """Raise `limit_observations` unless there is room for one more, or `generation` has its place already."""
        limit = MAX_OBSERVATIONS
        if len(self._held) >= limit and generation not in self._held:
            raise RealtimeError("limit_observations", f"A socket has at most {limit} observations.", limit=limit)

    def hold(self, observation: Observation) -> None:
        """Keep an observation, so that it is closed whatever happens before it is pumped."""
        self._held[observation.log.meta.generation] = observation

    def pump(self, observation: Observation, pump: Pump) -> None:
        """Serve a held observation in a task of its own."""
        name = f"pump {observation.log.meta.generation}"
        self._tasks[observation] = asyncio.get_running_loop().create_task(self._run(pump, observation), name=name)

    async def _run(self, pump: Pump, observation: Observation) -> None:
        why: Leaving = "disconnected"
        try:
            why = await pump.run()
        except OSError:
            return
        except Exception:
            _logger.exception("observing %s failed", observation.log.meta.generation)
            self._failed()
        finally:
            observation.close(why)
            del self._tasks[observation]
            if self._held.get(observation.log.meta.generation) is observation:
                del self._held[observation.log.meta.generation]

    async def drop(self, generation: str, why: Leaving) -> None:
        """End the observation of a generation, if there is one; nothing of it is sent once this returns."""
        observation = self._held.pop(generation, None)
        if observation is None:
            return
        observation.close(why)
        task = self._tasks.get(observation)
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def close(self, why: Leaving) -> None:
        """End them all."""
        for generation in list(self._held):
            await self.drop(generation, why)
