"""What tests of a process that leaves have in common: what it is given to say, and how it is seen off."""

import asyncio
import re
import resource
from collections.abc import Iterable, Iterator

from tests.history.rows import Settled
from tests.server.running import Process
from tests.support.http import request
from tests.support.server import Address
from tests.upstream import Pause
from tests.upstream.server import Step

EXITS_WITHIN_S = 25.0
_SETTLED = re.compile(r" (completed|stopped|failed) generation=([0-9a-f]{32}) .* events=([0-9]+) ")


def spaced(chunks: Iterable[bytes], every_s: float = 0.1) -> Iterator[Step]:
    """One after the other, with time in between."""
    for chunk in chunks:
        yield chunk
        yield Pause(every_s)


def allow_descriptors(wanted: int) -> None:
    """Let this process, and the servers it starts, have so many sockets each."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


async def draining(address: Address) -> None:
    """Wait until the server says that it drains."""
    async with asyncio.timeout(10):
        while (await request(address, "GET", "/readyz")).status != 503:
            pass


async def gone(process: Process, since_s: float, within_s: float = EXITS_WITHIN_S) -> None:
    """Wait for the process to end as it should, in its time."""
    assert await process.ended(within_s + 5) == 0
    assert asyncio.get_running_loop().time() - since_s <= within_s
    assert "Traceback" not in process.log
    assert "ERROR" not in process.log


def settled(process: Process) -> list[Settled]:
    """What its log says of generations that have ended."""
    found = _SETTLED.findall(process.log)
    return [Settled(generation, outcome, int(events)) for outcome, generation, events in found]
