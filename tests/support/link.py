"""A link between two servers that fails while it is in use: everything stands still in it, or answers are lost."""

import asyncio
from types import TracebackType
from typing import Self


class Link:
    """Forwards connections to a port of this machine while its block runs.

    Args:
        port: Of the server at its other end.

    Attributes:
        port: Where it listens.
        loses_every: Of so many requests, the last has its answer lost with its connection, once the server has given
            it; 0 for none.
        lost: How many answers were.
    """

    def __init__(self, port: int) -> None:
        self.port = self.loses_every = self.lost = 0
        self._target = port
        self._requests = 0
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._serving: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """As `REALTIME_REDIS_URL` takes it."""
        return f"redis://127.0.0.1:{self.port}/0"

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._listener is not None
        self._listener.close()
        await self.cut()

    def hold(self) -> None:
        """Pass nothing on from now on; who connects is left waiting. Nobody is told of anything."""
        self._flowing.clear()

    def release(self) -> None:
        """Pass on what was held back, and go on."""
        self._flowing.set()

    async def cut(self) -> None:
        """End every connection, and lose what was held back in it."""
        serving = tuple(self._serving)
        for task in serving:
            task.cancel()
        if serving:
            await asyncio.wait(serving)

    async def _serve(self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        ends = [to_near]
        try:
            await self._flowing.wait()
            far, to_far = await asyncio.open_connection("127.0.0.1", self._target)
            ends.append(to_far)
            await self._join(near, to_near, far, to_far)
        except OSError:
            return
        except asyncio.CancelledError:
            # Ours, from `cut`; a handler that ends as cancelled is reported as a failure by asyncio.streams.
            return
        finally:
            for end in ends:
                end.transport.abort()

    async def _join(
        self,
        near: asyncio.StreamReader,
        to_near: asyncio.StreamWriter,
        far: asyncio.StreamReader,
        to_far: asyncio.StreamWriter,
    ) -> None:
        """Pass on what comes from both ends, until one of them has no more."""
        losing = asyncio.Event()
        ways = {
            asyncio.create_task(self._ask(near, to_far, losing)),
            asyncio.create_task(self._answer(far, to_near, losing)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _ask(self, near: asyncio.StreamReader, to_far: asyncio.StreamWriter, losing: asyncio.Event) -> None:
        while data := await near.read(1 << 16):
            await self._flowing.wait()
            self._requests += 1
            if self.loses_every and self._requests % self.loses_every == 0:
                losing.set()
            to_far.write(data)
            await to_far.drain()

    async def _answer(self, far: asyncio.StreamReader, to_near: asyncio.StreamWriter, losing: asyncio.Event) -> None:
        while data := await far.read(1 << 16):
            await self._flowing.wait()
            if losing.is_set():
                self.lost += 1
                return
            to_near.write(data)
            await to_near.drain()
