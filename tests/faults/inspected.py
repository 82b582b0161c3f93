"""The parent's side of `inspected_server`: start it, ask what it holds, hear what it wrote, see it off."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.history.rows import Row, load
from tests.support.http import BrokenError, request
from tests.support.server import Address

# Importing the providers' SDKs takes seconds on a busy machine.
_STARTS_S = 40.0
_ENDS_S = 10.0
# A line of rows holds one event, and that holds no more than a piece of text.
_LINE_BYTES = 2**20


@dataclass(frozen=True)
class Counts:
    """What the server's process holds at one moment, as it says itself."""

    cpu_s: float
    rss_bytes: int
    tasks: int
    descriptors: int
    threads: int
    blocks: int
    objects: dict[str, int] = field(default_factory=dict)


class Inspected:
    """A running server; see `inspected`.

    Attributes:
        errors: Every line that it has logged, all of them errors.
    """

    def __init__(self, process: asyncio.subprocess.Process, address: Address) -> None:
        self.address = address
        self.errors: list[str] = []
        self._process = process

    async def answers(self) -> None:
        """Wait until it does; bound and about to listen, there is nothing to be told by."""
        while self._process.returncode is None:
            try:
                await request(self.address, "GET", "/livez")
            except BrokenError:
                await asyncio.sleep(0.01)
            else:
                return

    async def counts(self, *, objects: bool = False) -> Counts:
        """What it holds now; with `objects`, after a collection of garbage and by type too."""
        answer = await request(self.address, "GET", f"/counts?objects={int(objects)}")
        assert answer.status == 200, answer
        held: dict[str, Any] = answer.json()
        return Counts(**held)

    async def listen(self, wrote: Callable[[Row], None]) -> None:
        """Hand on each row that the server tells, to the end of its process."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            for row in load([line.decode()]):
                wrote(row)

    async def read_errors(self) -> None:
        """Gather what it logs, to the end of its process."""
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.errors.append(line.decode())


@asynccontextmanager
async def inspected(wrote: Callable[[Row], None], **variables: object) -> AsyncIterator[Inspected]:
    """Run the server until the block is left; it does not outlive this process either.

    Args:
        wrote: Called with each row of what the server's writers and its ledger did.
        variables: Of the environment.
    """
    env = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_BASE_URL"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.inspected_server"),
        env=env | {name: str(value) for name, value in variables.items()},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES,
    )
    hearing: list[asyncio.Task[None]] = []
    try:
        assert process.stdout is not None
        async with asyncio.timeout(_STARTS_S):
            port = await process.stdout.readline()
            server = Inspected(process, Address("127.0.0.1", int(port or 0)))
            await server.answers()
        hearing = [asyncio.create_task(server.listen(wrote)), asyncio.create_task(server.read_errors())]
        yield server
    finally:
        if process.returncode is None:
            process.kill()
        async with asyncio.timeout(_ENDS_S):
            await process.wait()
            await asyncio.gather(*hearing)
