"""Lives of generations, many at once, each begun at a random moment."""

import asyncio
import random

from .inspected import Inspected
from .judged import Judged
from .life import Life
from .lives import drawn

# What may be alive at once; more are only there when this process or the other does not keep up.
_MOST_LIVES = 100
# A life takes a second or two.
_LONGEST_S = 60.0


class Churn:
    """Lives, begun at random moments.

    Attributes:
        rate: Lives a second.
    """

    def __init__(self, server: Inspected, judged: Judged, seed: int, rate: float = 20.0) -> None:
        self.server = server
        self.rate = rate
        self._judged = judged
        self._seed = seed
        self._count = 0
        self._lives: set[asyncio.Task[None]] = set()

    @property
    def crowded(self) -> bool:
        """Whether more lives begin than end."""
        return len(self._lives) > _MOST_LIVES * 0.8

    async def run(self) -> None:
        """Begin one after the other until cancelled."""
        rng, clock = random.Random(self._seed), asyncio.get_running_loop().time
        due = clock()
        while True:
            due = max(due + rng.expovariate(self.rate), clock() - 1.0)
            await asyncio.sleep(due - clock())
            if len(self._lives) < _MOST_LIVES:
                self.begin()

    def begin(self) -> None:
        """Begin the next life."""
        self._count += 1
        task = asyncio.create_task(
            self._live(Life(self._seed * 10**6 + self._count, self.server.address, self._judged))
        )
        self._lives.add(task)
        task.add_done_callback(self._lives.discard)

    async def ended(self) -> None:
        """Wait for the lives that were begun."""
        while self._lives:
            await asyncio.wait(self._lives)

    async def _live(self, life: Life) -> None:
        lived = drawn(life)
        try:
            async with asyncio.timeout(_LONGEST_S):
                await lived(life)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding.
            self._judged.say(f"life {life.number}, {lived.__name__}: {error!r}")
