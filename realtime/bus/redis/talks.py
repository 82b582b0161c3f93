"""Conversations, and who waits for their next generation."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from realtime.tasks import TaskRegistry

from .connections import Connections
from .keys import asked, lane_of, talk_name
from .lanes import Lanes
from .messages import created


class Talks:
    """See the module."""

    def __init__(self, connections: Connections, lanes: Lanes, tasks: TaskRegistry) -> None:
        self._connections = connections
        self._lanes = lanes
        self._tasks = tasks
        self._waiting: dict[str, set[asyncio.Event]] = {}

    def tell(self, tenant: str, conversation: str) -> None:
        """It has a new generation."""
        name = talk_name(tenant, conversation)
        command = (self._connections.publish, asked(lane_of(name)), created(name))
        self._tasks.spawn(self._connections.try_all([command]), f"tell {name}")

    def hear(self, name: str) -> None:
        """Another process, or this one, has told so."""
        for event in self._waiting.get(name, ()):
            event.set()

    @asynccontextmanager
    async def listening(self, tenant: str, conversation: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set whenever it has a new generation."""
        name, event = talk_name(tenant, conversation), asyncio.Event()
        await self._lanes.join(lane_of(name))
        self._waiting.setdefault(name, set()).add(event)
        try:
            yield event
        finally:
            self._waiting[name].discard(event)
            if not self._waiting[name]:
                del self._waiting[name]
            await self._lanes.leave(lane_of(name))
