"""The Python client as an observer whose history can be judged: what it asked for and what it handed on, as rows."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Literal

import msgspec

from realtime.events import Finished
from tests.history.rows import Close, Open, Received, Reset, Row, canonical
from transports.client import Client
from transports.client import Reset as Forget
from transports.client.place import Observed, Unknown
from transports.client.wires import Slices, Target, Wire

_WIRES: tuple[Wire, ...] = ("sse", "ndjson", "ws")
# How long an interrupted wait had lasted, at the most.
_IMPATIENCE_S = 0.003


class ClientObserver:
    """Follows one generation with one or more clients; a wait is now and then cancelled and the wire changed.

    Attributes:
        breaks: Connections that were not the last.
        values: The events it was handed, as `canonical` has them.
    """

    def __init__(self, generation: str, name: str, rows: list[Row], rng: Random) -> None:
        self.breaks = -1
        self.values: list[str] = []
        self.resets = 0
        self._generation = generation
        self._name = name
        self._rows = rows
        self._rng = rng
        self._cursor: str | None = None

    async def follow(self, clients: list[Client], interruptions: int) -> None:
        """Observe to the end; so many times, leave one client for another after a few events."""
        for left in range(interruptions, -1, -1):
            count = self._rng.randrange(1, 25) if left else None
            if await self._watch(self._rng.choice(clients), count):
                return

    async def _watch(self, client: Client, count: int | None) -> bool:
        """Observe until so many events have come, or to the end, and then return True."""
        made = client.observe(
            self._generation,
            wire=self._rng.choice(_WIRES),
            after=self._cursor,
            on_drop=lambda _: self._close("cut"),
        )
        made._open_wire = self._noting(made._open_wire)
        async with made:
            while count != 0:
                impatient = count is not None and self._rng.random() < 0.1
                try:
                    async with asyncio.timeout(self._rng.random() * _IMPATIENCE_S if impatient else None):
                        item = await anext(made)
                except TimeoutError:
                    self._close("left")
                    made.wire = self._rng.choice(_WIRES)
                    continue
                except StopAsyncIteration:
                    self._close("ended")
                    return True
                self._take(item)
                count = None if count is None else count - 1
            self._close("left")
        return False

    def _noting(self, opening: Callable[[Wire, Target, str | None], Slices]) -> Callable[..., Slices]:
        """Note every connection with the cursor that it is opened with."""

        def noted(wire: Wire, target: Target, after: str | None) -> Slices:
            self.breaks += 1
            self._rows.append(Open(self._name, self.breaks, self._generation, place(after)))
            return opening(wire, target, after)

        return noted

    def _close(self, why: Literal["ended", "cut", "left"]) -> None:
        self._rows.append(Close(self._name, self.breaks, self._generation, why))

    def _take(self, item: Observed) -> None:
        self._cursor = item.cursor
        if isinstance(item.event, Forget):
            self.values.clear()
            self.resets += 1
            self._rows.append(Reset(self._name, self.breaks, self._generation, item.event.reason))
            return
        assert not isinstance(item.event, Unknown), item
        epoch, _, seq = item.cursor.rpartition("-")
        value = canonical({**msgspec.to_builtins(item.event), "at": item.at})
        self.values.append(value)
        terminal = isinstance(item.event, Finished)
        self._rows.append(Received(self._name, self.breaks, self._generation, epoch, int(seq), value, terminal))


def place(cursor: str | None) -> tuple[str, int] | None:
    """A cursor as the checker has it; the place before the first event is none."""
    epoch, _, seq = (cursor or "-0").rpartition("-")
    return (epoch, int(seq)) if seq != "0" else None
