"""A network with faults: a TCP proxy of this loop that cuts, swallows, delays or holds back what the server says."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from .server import Address

# What has not been read is thrown away and the peer is told so with an RST.
_LINGER_NOT = struct.pack("ii", 1, 0)

Kind = Literal["close", "reset", "half_close", "swallow", "pause"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one connection; bytes are counted from the server.

    Attributes:
        after: Bytes that pass unharmed before it happens; None for never.
        kind: `close` both sides, `reset` both with an RST, `half_close` towards the client while its own direction goes
            on, `swallow` the rest in silence, or `pause` until `Proxy.resume`.
        latency_s: Delay of everything the server says.
    """

    after: int | None = None
    kind: Kind = "close"
    latency_s: float = 0.0


NO_FAULT = Fault()


class Proxy:
    """Forwards connections to a server, each with the fault that `next_fault` names.

    Attributes:
        passed: Bytes from the server that reached the client, for each connection in the order they were made.
    """

    def __init__(self, target: Address, next_fault: Callable[[], Fault]) -> None:
        self.address = target
        self.passed: list[int] = []
        self._target = target
        self._next_fault = next_fault
        self._resumed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen on a free port."""
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.address = Address(*self._listener.sockets[0].getsockname()[:2])

    async def close(self) -> None:
        """Cut every connection and stop listening."""
        assert self._listener is not None
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def resume(self) -> None:
        """Let paused connections go on."""
        self._resumed.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        fault = self._next_fault()
        number = len(self.passed)
        self.passed.append(0)
        upstream: asyncio.StreamWriter | None = None
        try:
            answers, upstream = await asyncio.open_connection(*self._target)
            asking = asyncio.create_task(_forward(reader, upstream))
            try:
                await self._answer(answers, writer, fault, number)
            finally:
                asking.cancel()
                await asyncio.wait({asking})
        except OSError:
            return
        except asyncio.CancelledError:
            # Ours, from `close`; a handler that ends as cancelled is reported as a failure by asyncio.streams.
            return
        finally:
            for side in (writer, upstream):
                if side is not None:
                    _cut(side, reset=fault.kind == "reset")

    async def _answer(
        self, answers: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: Fault, number: int
    ) -> None:
        """Pass on what the server says, to its end or to the fault."""
        left = fault.after
        while left != 0:
            data = await answers.read(65536 if left is None else min(left, 65536))
            if not data:
                await _flush(writer)
                return
            if fault.latency_s:
                await asyncio.sleep(fault.latency_s)
            writer.write(data)
            await writer.drain()
            self.passed[number] += len(data)
            left = None if left is None else left - len(data)
        await self._fail(answers, writer, fault, number)

    async def _fail(
        self, answers: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: Fault, number: int
    ) -> None:
        match fault.kind:
            case "close":
                await _flush(writer)
            case "reset":
                # Give the bytes that were to pass a chance to; an RST throws away what is still in the buffers.
                await _flush(writer)
            case "half_close":
                writer.write_eof()
                await _discard(answers)
            case "swallow":
                await _discard(answers)
            case "pause":
                await self._resumed.wait()
                await self._answer(answers, writer, NO_FAULT, number)


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        return


async def _flush(writer: asyncio.StreamWriter) -> None:
    """Return when the kernel has everything."""
    writer.transport.set_write_buffer_limits(high=0)
    await writer.drain()


async def _discard(reader: asyncio.StreamReader) -> None:
    while await reader.read(65536):
        pass


def _cut(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    sock = writer.get_extra_info("socket")
    if reset and sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    writer.transport.abort()


@asynccontextmanager
async def proxied(target: Address, next_fault: Callable[[], Fault] = lambda: NO_FAULT) -> AsyncIterator[Proxy]:
    """Run a proxy in front of a server until the block is left."""
    proxy = Proxy(target, next_fault)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.close()
