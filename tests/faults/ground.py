"""Where readers are set to walk at random: a server, a network in front of it that cuts, and one history of all."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from random import Random

from tests.history.checker import check
from tests.support.http import start, stop
from tests.support.observer import Observer
from tests.support.proxy import Fault, proxied
from tests.support.recording import Recording
from tests.support.server import Address, RunningServer, serving

from .chance import chance

# Generations at once, and readers of each.
_GENERATIONS, _READERS = 3, 16

Walk = Callable[[str, int], Awaitable[int]]


class Ground:
    """See the module.

    Attributes:
        cut: An address of the server where each connection ends at a random byte, or not.
        rows: The history of this round.
    """

    def __init__(self, server: RunningServer, cut: Address, recording: Recording, rng: Random) -> None:
        self.server, self.cut, self.rng = server, cut, rng
        self.rows = recording.rows
        self._recording = recording

    async def rounds(
        self, points: int, walk: Callable[[list[str]], Awaitable[int]]
    ) -> AsyncIterator[dict[str, Observer]]:
        """Have a few generations at a time walked over until there were so many points.

        Args:
            walk: Returns how often readers have left and come back.

        Yields:
            Somebody who was never interrupted, by generation.
        """
        done = 0
        while done < points:
            generations = [await self._begin() for _ in range(_GENERATIONS)]
            stopping = [asyncio.create_task(self._maybe_stop(generation)) for generation in generations]
            done += await walk(generations)
            await asyncio.gather(*stopping)
            yield await self._judge(generations)

    async def _begin(self) -> str:
        """Start a generation of any kind and pace."""
        rng = self.rng
        model = f"demo/{rng.choice(('default', 'reasoning', 'tools', 'json'))}"
        rate = rng.choice((200, 400, 2000, 50_000))
        options = {"tokens": rng.randint(1, 100), "rate": rate, "seed": rng.getrandbits(30)}
        return await start(self.server.address, model=model, options=options)

    async def _maybe_stop(self, generation: str) -> None:
        """Stop one generation in four, somewhere."""
        log, seq = await self.server.log(generation), self.rng.randint(1, 60)
        if self.rng.random() < 0.25:
            while log.head < seq and log.finished is None:
                await log.wait(log.head)
            await stop(self.server.address, generation)

    async def _judge(self, generations: Iterable[str]) -> dict[str, Observer]:
        """Hold the history to everything, and begin a new one."""
        whole = {generation: Observer(generation, "whole", self.rows) for generation in generations}
        for generation, observer in whole.items():
            await self.server.finished(generation)
            assert (await observer.watch(self.server.address, "ndjson")).why == "ended"
        await self._recording.settled(len(whole))
        assert check(self.rows) == []
        self.rows.clear()
        return whole


def each(walk: Walk) -> Callable[[list[str]], Awaitable[int]]:
    """A walk of several readers over each generation, all at once."""

    async def walks(generations: list[str]) -> int:
        return sum(await asyncio.gather(*(walk(one, number) for one in generations for number in range(_READERS))))

    return walks


@asynccontextmanager
async def walking() -> AsyncIterator[Ground]:
    """A ground, until the block is left."""
    rng, recording = chance(), Recording()
    async with (
        serving(prepare=recording.attach, retry_ms=1) as server,
        proxied(server.address, lambda: _random_fault(rng)) as cutting,
    ):
        yield Ground(server, cutting.address, recording, rng)


def _random_fault(rng: Random) -> Fault:
    """A cut in the head, soon or late, of any kind; or none."""
    after = rng.choice((None, rng.randrange(300), rng.randrange(2000), rng.randrange(10_000)))
    return Fault(after, rng.choice(("close", "reset", "half_close")))
