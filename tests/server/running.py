"""`python -m realtime serve` as a process of its own, for what only a process has: signals, an exit, all of its log."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from tests.support.http import BrokenError, request
from tests.support.server import Address

STARTS_S = 40.0
_ENDS_S = 30.0


class Process:
    """A server process; `lines` is its log so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.lines: list[str] = []
        self._process = process
        self._reading = asyncio.create_task(self._read())
        self._listening: asyncio.Future[Address] = asyncio.get_running_loop().create_future()

    @property
    def log(self) -> str:
        """All that it has logged."""
        return "".join(self.lines)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def address(self) -> Address:
        """Where it listens, once it answers there."""
        address = await self._listening
        while True:
            try:
                await request(address, "GET", "/livez")
            except BrokenError:
                # Bound, and about to listen: there is nothing to be told by.
                await asyncio.sleep(0.01)
            else:
                return address

    async def ended(self, within_s: float = _ENDS_S) -> int:
        """Wait for its end; the exit code."""
        async with asyncio.timeout(within_s):
            await self._reading
            return await self._process.wait()

    async def close(self) -> None:
        """Make sure that it is gone."""
        if self._process.returncode is None:
            self._process.kill()
        await self.ended()

    async def _read(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.lines.append(line.decode())
            found = re.search(r"listening on http://([0-9.]+):([0-9]+) ", self.lines[-1])
            if found and not self._listening.done():
                self._listening.set_result(Address(found[1], int(found[2])))
        if not self._listening.done():
            self._listening.set_exception(AssertionError(self.log))


class Worker(NamedTuple):
    """A process, and where it listens."""

    process: Process
    address: Address


@asynccontextmanager
async def running(*flags: str, module: str = "realtime", **variables: str) -> AsyncIterator[Worker]:
    """Run `realtime serve` with the demo on a free port, until the block is left.

    Args:
        module: What `python -m` runs in its place.
    """
    env = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_BASE_URL"))}
    command = [sys.executable, "-m", module, "serve", "--port", "0", "--demo", *flags]
    process = Process(
        await asyncio.create_subprocess_exec(
            *command,
            env={**env, "COLUMNS": "200", **variables},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    )
    try:
        async with asyncio.timeout(STARTS_S):
            address = await process.address()
        yield Worker(process, address)
    finally:
        await process.close()


@asynccontextmanager
async def running_all(*envs: Mapping[str, str]) -> AsyncIterator[list[Worker]]:
    """Run one with each of these environments, started at the same time: each takes seconds to import what it needs."""
    async with AsyncExitStack() as stack:
        yield await asyncio.gather(*(stack.enter_async_context(running(**env)) for env in envs))
