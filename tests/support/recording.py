"""What the server did, as rows for the history checker: every append as its writer saw it, every settled summary.

The rows are taken where the session hands events to the bus, so that a fault anywhere behind it (log, codecs, shells,
sockets) shows as a difference between what was written and what was read.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from realtime.bus.base import Claim, SealResult, Writer
from realtime.events import AnyEvent, Finished, StoppedBy, Summary
from realtime.hooks import Hooks, ObservationEnded, Record
from realtime.log import EventLog, Meta
from realtime.message import Message
from realtime.server.app import Application
from tests.history.rows import Append, Row, Settled, canonical


class Recording:
    """Pass `attach` to `serving(prepare=…)`.

    Attributes:
        rows: Of writers and of the ledger; observers may add theirs.
        left: Every end of an observation.
    """

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.left: asyncio.Queue[ObservationEnded] = asyncio.Queue()
        self._settled = asyncio.Condition()

    def attach(self, application: Application) -> None:
        """Record what this application does."""
        sessions: Any = application.sessions
        create = sessions._bus.create

        async def recorded(meta: Meta, claim: Claim) -> Writer | EventLog:
            made = await create(meta, claim)
            return made if isinstance(made, EventLog) else _RecordingWriter(made, self.rows)

        sessions._bus.create = recorded
        sessions._on_finished = self._settle
        sessions._hooks = Hooks((*sessions._hooks._hooks, self._note))

    async def settled(self, count: int, timeout_s: float = 20.0) -> None:
        """Wait for so many generations to be in the ledger."""
        async with asyncio.timeout(timeout_s), self._settled:
            await self._settled.wait_for(lambda: sum(isinstance(row, Settled) for row in self.rows) >= count)

    async def _settle(self, summary: Summary, _message: Message) -> None:
        self.rows.append(Settled(summary.generation, summary.outcome, summary.events))
        async with self._settled:
            self._settled.notify_all()

    def _note(self, record: Record, /) -> None:
        if isinstance(record, ObservationEnded):
            self.left.put_nowait(record)


class _RecordingWriter:
    """A `Writer` that notes each event once it can be read, which may be later than it was handed over."""

    def __init__(self, writer: Writer, rows: list[Row]) -> None:
        self._writer = writer
        self._rows = rows
        self._noted = 0
        self._note()

    @property
    def log(self) -> EventLog:
        return self._writer.log

    @property
    def stop_requested(self) -> StoppedBy | None:
        return self._writer.stop_requested

    def on_stop(self, callback: Callable[[StoppedBy], None]) -> None:
        self._writer.on_stop(callback)

    @property
    def written(self) -> tuple[int, int]:
        return self._writer.written

    def on_lost(self, callback: Callable[[], None]) -> None:
        self._writer.on_lost(callback)

    def append(self, event: AnyEvent, *, more: bool = False) -> int:
        seq = self._writer.append(event, more=more)
        self._note()
        return seq

    def show(self) -> None:
        self._writer.show()

    def room(self) -> Awaitable[None] | None:
        return self._writer.room()

    async def seal(self, finished: Finished) -> SealResult:
        result = await self._writer.seal(finished)
        if result == "won":
            self._note()
        return result

    def _note(self) -> None:
        log = self.log
        for entry in log.since(self._noted):
            value = canonical({**msgspec.to_builtins(entry.event), "at": entry.at})
            terminal = isinstance(entry.event, Finished)
            epoch = log.branches.at(entry.seq)
            self._rows.append(Append(log.meta.generation, epoch, entry.seq, value, terminal=terminal))
            self._noted = entry.seq
