"""The owner of every background task. A task nobody references can be collected while it waits; one nobody awaits
fails in silence. Here it is held, its failure is logged, and a drain can wait until none is left."""

import asyncio
import contextvars
import logging
from collections.abc import Coroutine
from typing import Any

_logger = logging.getLogger("realtime")


class TaskRegistry:
    """Holds tasks until they are done."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, coro: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run `coro` in a fresh context: what a request carries must not live on in what it started."""
        task = asyncio.get_running_loop().create_task(coro, name=name, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def drain(self, timeout_s: float) -> bool:
        """Wait until no task is left.

        Returns:
            False when some still run after `timeout_s`; they are left running.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        while self._tasks:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return False
            await asyncio.wait(self._tasks, timeout=left)
        return True

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.error("task %s failed", task.get_name(), exc_info=error)
