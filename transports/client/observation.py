"""Following one generation to its end, over whatever connections that takes.

The loop knows no wire: it opens one from the cursor, hands on what comes, and when that breaks waits and does it
again. A connection that ends before `finished` is broken, however politely it ended.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from types import TracebackType
from typing import Self

from realtime.events import Finished, State

from .backoff import Patience
from .errors import DroppedError
from .place import Observed, Place
from .wires import Slices, Target, Wire

Open = Callable[[Wire, Target, str | None], Slices]
Sleep = Callable[[float], Awaitable[object]]
OnDrop = Callable[[str], object]


class Observation:
    """An async iterator of `Observed`: every event once, in order, until the terminal one.

    A `Reset` among them means: forget everything before it. `async with` closes its connection on the way out, at once,
    whatever the reason; without it the connection lives until the iterator is collected. An iteration that was
    cancelled (a timeout around `anext`, say) lost nothing: the next goes on from the cursor over a new connection.

    One task at a time iterates. `wire` may be set at any time; the next connection is made over it.
    """

    def __init__(
        self,
        open_wire: Open,
        target: Target,
        wire: Wire,
        *,
        after: str | None,
        patience: Patience,
        sleep: Sleep,
        on_drop: OnDrop | None = None,
    ) -> None:
        self.wire: Wire = wire
        self.connections = 0
        self._target = target
        self._open_wire = open_wire
        self._place = Place(after, view_json=target.view == "json")
        self._patience = patience
        self._sleep = sleep
        self._on_drop = on_drop
        self._items: AsyncGenerator[Observed, None] | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<Observation {self.generation} {self.cursor} {self.state} {self.wire} connections={self.connections}>"

    @property
    def generation(self) -> str:
        return self._target.generation

    @property
    def cursor(self) -> str | None:
        """Place of the last item yielded; None before the first word of the server."""
        return self._place.cursor

    @property
    def state(self) -> State | None:
        """As last heard; None before the first word of the server."""
        return self._place.state

    @property
    def resets(self) -> int:
        """How often what was received had to be forgotten."""
        return self._place.resets

    @property
    def finished(self) -> Finished | None:
        """The terminal event, once it came; None still if the cursor was already behind it."""
        return self._place.finished

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Observed:
        if self._closed:
            raise StopAsyncIteration
        if self._items is None:
            self._items = self._follow()
        try:
            return await anext(self._items)
        except asyncio.CancelledError:
            self._items = None
            raise
        except BaseException:
            # Its end, or an error that is final. Neither is followed by anything.
            self._closed = True
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Leave: close the connection, and end the iteration. The generation goes on."""
        self._closed = True
        if self._items is not None:
            await self._items.aclose()

    async def _follow(self) -> AsyncGenerator[Observed, None]:
        place = self._place
        while True:
            self.connections += 1
            try:
                async with aclosing(self._open_wire(self.wire, self._target, place.cursor)) as slices:
                    async for frames in slices:
                        for item in map(place.take, frames):
                            if item is not None:
                                yield item
                        if place.ended:
                            return
                place.disconnected()
                return
            except DroppedError as dropped:
                progress, place.progress = place.progress, False
                wait_s = self._patience.wait_s(dropped, progress=progress, base_s=place.retry_base_s)
                why = str(dropped)
            if self._on_drop is not None:
                self._on_drop(why)
            await self._sleep(wait_s)
