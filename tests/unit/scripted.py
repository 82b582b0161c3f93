"""A provider that does what a test tells it, step by step."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from realtime.errors import RealtimeError
from realtime.policy import Deadlines
from realtime.prompt import Prompt
from realtime.providers.base import Batch
from realtime.providers.pulled import Pulled


class ScriptedProvider:
    """Yields batches as they are `put`; an exception that is put is raised, None ends the stream.

    Attributes:
        opened: Set when a session has called it.
        closed: Set when the context was left: where a real one closes its socket.
        stuck: How many cancellations closing swallows, as bad user code can.
    """

    def __init__(self, *batches: Batch | Exception | None) -> None:
        self.opened = asyncio.Event()
        self.closed = asyncio.Event()
        self.stuck = 0
        self.prompt: Prompt | None = None
        self._steps: asyncio.Queue[Batch | Exception | None] = asyncio.Queue()
        for batch in batches:
            self.put(batch)

    def put(self, step: Batch | Exception | None) -> None:
        """Add a step."""
        self._steps.put_nowait(step)

    def check(self, prompt: Prompt) -> None:
        """Refuse the option `refused`."""
        if "refused" in prompt.options:
            raise RealtimeError("bad_request", "refused is refused.", field="options.refused")

    def open(self, prompt: Prompt, deadlines: Deadlines) -> AbstractAsyncContextManager[Pulled]:
        """See `Provider`."""
        return self._open(prompt)

    @asynccontextmanager
    async def _open(self, prompt: Prompt) -> AsyncIterator[Pulled]:
        self.prompt = prompt
        self.opened.set()
        try:
            async with Pulled(self._stream()) as stream:
                yield stream
        finally:
            while self.stuck:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    self.stuck -= 1
            self.closed.set()

    async def _stream(self) -> AsyncGenerator[Batch]:
        while True:
            step = await self._steps.get()
            if step is None:
                return
            if isinstance(step, Exception):
                raise step
            yield step

    async def models(self) -> Sequence[str]:
        """See `Provider`."""
        return ("default",)

    async def close(self) -> None:
        """See `Provider`."""
