"""Row 13: a thousand readers that stop reading cost a server process little, are let go, and disturb nobody."""

import asyncio
import gc
import json
import resource
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from tests.server.refusals import TEXT, frame, handshake_bytes, request_bytes
from tests.server.running import Process, running
from tests.support import observer
from tests.support.http import request, start, stop
from tests.support.observer import Observer
from tests.support.parsers import Frame
from tests.support.raw import WIRES, WireName
from tests.support.server import Address

from .socket_memory import held_by

KIB = 1024
# For each stalled reader: in the process, and in the kernel.
MOST_RSS, MOST_KERNEL = 50 * KIB, 130 * KIB
HEALTHY = 100
LOOK_AGAIN_S = 0.2
# Many times what all buffers between the two processes hold.
LONG: dict[str, Any] = {"model": "demo/default", "options": {"tokens": 40_000, "rate": 100_000}}
LIVE: dict[str, Any] = {"model": "demo/default", "options": {"tokens": 200_000, "rate": 20, "seed": 1}}
STALLED: tuple[WireName, ...] = ("sse", "ndjson", "ws-json")


class Healthy(Observer):
    """One who reads; `delays_ms` says how long after it was written each event was read."""

    def __init__(self, generation: str, name: str) -> None:
        super().__init__(generation, name)
        self.delays_ms: list[float] = []
        self._began_ms = 0

    def _accept(self, frame: Frame) -> None:
        super()._accept(frame)
        if frame.value["type"] == "started":
            self._began_ms = frame.value["created_ms"]
        elif frame.is_event:
            self.delays_ms.append(time.time() * 1000 - self._began_ms - frame.value["at"])


class Watched:
    """A server process, seen from outside: the most that it and the kernel held."""

    def __init__(self, process: Process, address: Address) -> None:
        self._process, self._address = psutil.Process(process.pid), address
        self.rss = self.kernel = self.observers = 0

    async def look(self, ports: set[int]) -> int:
        """Look once; how many of these peers still have a connection."""
        held = [one.size for one in held_by(self._address.port) if one.peer_port in ports]
        self.kernel = max(self.kernel, sum(held))
        self.rss = max(self.rss, self._process.memory_info().rss)
        self.observers = max(self.observers, await observers(self._address))
        return len(held)


async def observers(address: Address) -> int:
    """How many observers the server says it has."""
    lines = (await request(address, "GET", "/metrics")).body.decode().splitlines()
    return round(sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("realtime_observers{")))


async def stall(address: Address, wire: WireName, generation: str) -> socket.socket:
    """A connection that observes and never reads what comes of it, into as small a buffer as there is."""
    loop, sock = asyncio.get_running_loop(), socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * KIB)
    await loop.sock_connect(sock, tuple(address))
    if wire in {"sse", "ndjson"}:
        target = f"/v1/generations/{generation}/events?wire={wire}"
        await loop.sock_sendall(sock, request_bytes(address, "GET", target))
        return sock
    await loop.sock_sendall(sock, handshake_bytes(address, protocol="realtime.v1.json"))
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += await loop.sock_recv(sock, KIB)
    assert head.startswith(b"HTTP/1.1 101 ")
    command = json.dumps({"type": "observe", "generation": generation}).encode()
    await loop.sock_sendall(sock, frame(TEXT, command))
    return sock


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many open files as this process may have, and those it starts."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def no_collections() -> Iterator[None]:
    """A full collection in this process stops its readers for 200 ms, which would be taken for the server's."""
    gc.disable()
    yield
    gc.enable()


def p99(observers: list[Healthy], since: list[int]) -> float:
    """Of the delays of all events after those."""
    delays = sorted(delay for one, n in zip(observers, since, strict=True) for delay in one.delays_ms[n:])
    return delays[len(delays) * 99 // 100] if delays else 0.0


@pytest.mark.usefixtures("many_files", "no_collections")
@pytest.mark.timeout(240)
async def test_readers_that_stop(amount: Callable[[int, int], int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory within its bounds, their sockets gone in time, everything delivered to the others, a line of log each."""
    readers = amount(200, 1000)
    # The defaults, or as long as it takes to attach them all: a write's, then the kernel's.
    deadlines = amount(3, 10), amount(7, 20)
    flags = ["--send-deadline-s", str(deadlines[0]), "--user-timeout-s", str(deadlines[1])]
    stalled: list[socket.socket] = []
    # The others read for as long as it takes.
    monkeypatch.setattr(observer, "PATIENCE_S", 240)
    async with running(*flags) as (process, address):
        long, live = await start(address, **LONG), await start(address, **LIVE)
        await Healthy(long, "first").watch(address, "ndjson")
        healthy = [Healthy(live, f"healthy {n}") for n in range(HEALTHY)]
        reading = [asyncio.create_task(one.watch(address, WIRES[n % len(WIRES)])) for n, one in enumerate(healthy)]
        await asyncio.gather(*(one.began.wait() for one in healthy))
        seen = [len(one.delays_ms) for one in healthy]
        # What to compare with: some time of theirs alone.
        await asyncio.sleep(amount(1, 10))
        alone, seen = p99(healthy, seen), [len(one.delays_ms) for one in healthy]
        watched, lines = Watched(process, address), len(process.lines)
        await watched.look(set())
        before = watched.rss
        began = time.monotonic()
        try:
            for n in range(readers):
                stalled += [await stall(address, STALLED[n % len(STALLED)], long)]
            ports = {sock.getsockname()[1] for sock in stalled}
            joining, seen = p99(healthy, seen), [len(one.delays_ms) for one in healthy]
            while await watched.look(ports):
                assert time.monotonic() - began < 60, "sockets are left"
                # To look takes time from those who are timed.
                await asyncio.sleep(LOOK_AGAIN_S)
            gone_s = time.monotonic() - began
        finally:
            for sock in stalled:
                sock.close()
        beside = p99(healthy, seen)
        await stop(address, live)
        ends = await asyncio.gather(*reading)
        logged = process.lines[lines:]
    print(
        f"\n{readers} stalled: RSS {(watched.rss - before) / readers / KIB:.0f} KiB each, kernel"
        f" {watched.kernel / readers / KIB:.0f} KiB each, gone in {gone_s:.1f} s, {len(logged)} lines;"
        f" p99 of {HEALTHY} others {alone:.1f} ms alone, {joining:.1f} ms while they come, {beside:.1f} ms beside them"
    )
    assert {end.why for end in ends} == {"ended"}
    assert all(one.raws == healthy[n % len(WIRES)].raws for n, one in enumerate(healthy))
    assert all(one.events == healthy[0].events for one in healthy)
    assert "Traceback" not in process.log
    assert sum("too slow" in line for line in logged) == readers
    assert len(logged) <= readers + 10, logged
    assert watched.observers == HEALTHY + readers
    assert gone_s <= min(40, sum(deadlines) + 10)
    assert watched.kernel <= readers * MOST_KERNEL
    assert watched.rss - before <= readers * MOST_RSS
