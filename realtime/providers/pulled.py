"""The stream of a provider that is a generator of batches and has no socket."""

import asyncio
from collections.abc import AsyncGenerator

from .base import Batch, Ended, Take

# A generator that never awaits still lets the rest of the server run this often.
_YIELD_BATCHES = 64


class Pulled:
    """See `ProviderStream`; a context that closes the generator."""

    def __init__(self, batches: AsyncGenerator[Batch, None]) -> None:
        self._batches = batches

    async def __aenter__(self) -> "Pulled":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._batches.aclose()

    async def run(self, take: Take) -> None:
        """See `ProviderStream`; a batch is pulled when the one before it was taken."""
        count = 0
        async for batch in self._batches:
            waiting = take(batch)
            if waiting is not None:
                await waiting
            if batch and isinstance(batch[-1], Ended):
                return
            count += 1
            if count % _YIELD_BATCHES == 0:
                await asyncio.sleep(0)
