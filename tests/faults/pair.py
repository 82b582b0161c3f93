"""Two processes with one Redis, and one history of both: what is kept, what everyone was shown, what was settled.

What a process that is killed has written is not for it to say. So the log of record is asked, in Redis: whatever
anyone was shown must be there, and nothing of it may be missing.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from realtime.bus.redis.batches import decode_written
from realtime.bus.redis.keys import log_keys
from realtime.bus.redis.writer import epoch_of
from realtime.events import Finished
from realtime.principal import ANONYMOUS
from tests.history.rows import Append, Row, Settled, canonical
from tests.server.running import Worker, running_all
from tests.support.http import start
from tests.support.raw import WireName
from tests.support.redis_server import RedisServer

from .judged import Judged
from .leaving import settled
from .reader import Reader
from .scene import until

# For many to attach, where two cores are everything there is.
_BEGIN_S = 90.0


class Pair:
    """See the module; `pair` makes one.

    Attributes:
        env: What makes another process one of them.
        processes: All that there were.
        judged: What came of the histories.
        generations: Those that are not judged yet.
        readers: Everyone who reads any of these.
    """

    def __init__(self, redis: RedisServer, env: dict[str, str], one: Worker, other: Worker) -> None:
        self.redis, self.env = redis, env
        self.one, self.other = one, other
        self.processes = [one.process, other.process]
        self.judged = Judged()
        self.generations: list[str] = []
        self.readers: list[Reader] = []
        self._reading: list[asyncio.Task[None]] = []

    async def start(self, worker: Worker, count: int = 1, **body: Any) -> list[str]:
        """Start so many generations there, each of which goes on without an observer too."""
        made = [await start(worker.address, **{"on_disconnect": "continue", **body}) for _ in range(count)]
        self.generations += made
        return made

    def reader(self, generation: str, name: str) -> Reader:
        """Somebody whose history is judged."""
        reader = Reader(generation, name, self.judged.rows(generation))
        self.readers.append(reader)
        return reader

    def watch(self, generation: str, wire: WireName, *workers: Worker) -> Reader:
        """Have somebody read a generation to its end, of the first of these as long as it goes."""
        reader = self.reader(generation, f"{len(self.readers)} {wire}")
        self._reading.append(asyncio.create_task(reader.read(wire, *(worker.address for worker in workers))))
        return reader

    async def begun(self) -> None:
        """Wait until everyone has some of an answer."""
        begun = asyncio.gather(*(reader.begun.wait() for reader in self.readers))
        everything: set[asyncio.Future[Any]] = {begun, *self._reading}
        async with asyncio.timeout(_BEGIN_S):
            while not begun.done():
                done, everything = await asyncio.wait(everything, return_when=asyncio.FIRST_COMPLETED)
                for one in done:
                    one.result()

    async def over(self, within_s: float) -> None:
        """Wait until everyone has read to the end."""
        async with asyncio.timeout(within_s):
            await asyncio.gather(*self._reading)

    async def recorded(self) -> None:
        """Complete the history of all that is over by what was kept and what was settled."""
        for generation in self.generations:
            for row in await kept(self.redis, generation):
                self.judged.wrote(row)
        await until(lambda: {row.generation for row in self._settled()} >= set(self.generations), self._unsettled)
        for row in self._settled():
            if row.generation in self.generations:
                self.judged.wrote(row)

    async def judge(self) -> None:
        """Hold the history of all that is over to every invariant, and begin a new one."""
        await self.recorded()
        for generation in self.generations:
            await self.judged.over(generation)
        assert self.judged.findings == []
        every = Counter(row.generation for row in self._settled())
        assert set(every.values()) == {1}, every
        assert not any("Traceback" in process.log for process in self.processes)
        self.generations.clear()
        self.readers.clear()
        self._reading.clear()

    async def close(self) -> None:
        """Nobody reads any more."""
        for task in self._reading:
            task.cancel()
        await asyncio.gather(*self._reading, return_exceptions=True)

    def _settled(self) -> list[Settled]:
        return [*itertools.chain.from_iterable(settled(process) for process in self.processes)]

    def _unsettled(self) -> str:
        return f"never settled: {set(self.generations) - {row.generation for row in self._settled()}}"


@asynccontextmanager
async def pair(*options: str, **variables: str) -> AsyncIterator[Pair]:
    """Two processes and their Redis, until the block is left.

    Args:
        options: Of Redis's command line.
        variables: Of the processes' environment.
    """
    async with RedisServer(*options) as redis:
        env = {"REALTIME_REDIS_URL": redis.url, **variables}
        async with running_all(env, env) as (one, other):
            both = Pair(redis, env, one, other)
            try:
                yield both
            finally:
                await both.close()


async def kept(redis: RedisServer, generation: str) -> list[Row]:
    """What Redis has of a generation, as its writers would say it."""
    client = redis.client()
    entries: Any = await client.xrange(log_keys(ANONYMOUS.tenant, generation).log)
    await client.aclose()
    rows: list[Row] = []
    for _, fields in entries:
        written = decode_written(fields[b"b"])
        for seq, timed in enumerate(written.batch.events, start=written.batch.first):
            value = canonical({**msgspec.to_builtins(timed.event), "at": timed.at})
            terminal = isinstance(timed.event, Finished)
            rows.append(Append(generation, epoch_of(written.fence), seq, value, terminal=terminal))
    return rows
