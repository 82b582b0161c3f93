"""An observer: what one reader has of one generation, over any number of connections on any wire.

It does what the protocol asks of a client and nothing more: it keeps what came, goes on from the id of the last event,
and forgets everything when it is told to. What it saw is kept as rows for the history checker, before any judgement.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from tests.history.rows import Close, Open, Received, Reset, Row, canonical

from .http import PATIENCE_S, BrokenError
from .parsers import Frame
from .raw import Connection, WireName, connection
from .server import Address

# An observer that comes back so often makes no progress.
MOST_CONNECTIONS = 200


class End(NamedTuple):
    """How a connection ended.

    Attributes:
        status: 200, 204, 101, or that of a refusal.
        why: `ended`: there was nothing more; `left`: this side had enough; `bye`; `cut`: anything else.
    """

    status: int
    why: Literal["ended", "left", "bye", "cut"]
    error: dict[str, Any] | None


class Observer:
    """See the module.

    Args:
        rows: Where to record; several observers may share one list.

    Attributes:
        frames: The events it holds.
        controls: Every control frame it was ever sent.
    """

    # What one connection may last.
    patience_s = PATIENCE_S

    def __init__(self, generation: str, name: str = "observer", rows: list[Row] | None = None) -> None:
        self.generation = generation
        self.name = name
        self.rows: list[Row] = [] if rows is None else rows
        self.frames: list[Frame] = []
        self.controls: list[dict[str, Any]] = []
        # Set by the first frame of all: from then on it is attached.
        self.began = asyncio.Event()
        # Set by the first value of `view=json`.
        self.viewed = asyncio.Event()
        self.connections = 0
        self._cursor: str | None = None

    @property
    def cursor(self) -> str | None:
        """The id of the last event it has."""
        return self._cursor

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events it holds, decoded."""
        return [frame.value for frame in self.frames]

    @property
    def raws(self) -> list[bytes | None]:
        """The bytes of each event."""
        return [frame.raw for frame in self.frames]

    @property
    def text(self) -> str:
        """The answer so far."""
        return "".join(event["text"] for event in self.events if event["type"] == "text")

    @property
    def finished(self) -> bool:
        """Whether it has the terminal event."""
        return bool(self.frames) and self.frames[-1].value["type"] == "finished"

    @property
    def resets(self) -> list[str]:
        """Why it had to begin again, each time."""
        return [control["reset"] for control in self.controls if control.get("reset")]

    async def watch(
        self,
        address: Address,
        wire: WireName,
        *,
        after: str | None = None,
        count: int | None = None,
        **options: Any,
    ) -> End:
        """Observe over one connection, from its own cursor, to that connection's end.

        Args:
            after: Go on from this place instead of its own.
            count: Leave, without a word, as soon as so many events have come.
        """
        if after is not None:
            self.resume_from(after)
        return await self.watch_over(connection(address, wire), count=count, options=options)

    async def watch_over(
        self,
        connected: Connection,
        *,
        count: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> End:
        """As `watch`, over a connection that the test has made."""
        self.connections += 1
        why: Literal["ended", "left", "bye", "cut"] = "cut"
        self._record_open()
        enough = None if count is None else len(self.frames) + count
        async with asyncio.timeout(self.patience_s):
            try:
                await connected.open(self.generation, self._cursor, options or {})
                said_bye = False
                async for frame in connected.frames():
                    if len(self.frames) == enough:
                        why = "left"
                        break
                    said_bye = frame.value["type"] == "bye"
                    self._accept(frame)
                else:
                    why = ("bye" if said_bye else "ended") if connected.complete else "cut"
            except BrokenError:
                why = "cut"
            finally:
                await connected.close()
        self.rows.append(Close(self.name, self.connections, self.generation, why))
        return End(connected.status, why, connected.error)

    def resume_from(self, cursor: str) -> None:
        """Ask for what is after this place next time, whatever it has."""
        self._cursor = cursor

    async def follow(self, address: Address, wire: WireName, **options: Any) -> None:
        """Observe to the terminal event, through any number of connections."""
        while not self.finished:
            assert self.connections < MOST_CONNECTIONS, f"{self.name} does not get on"
            end = await self.watch(address, wire, **options)
            assert end.error is None, end
            assert end.why == "cut" or self.finished, end

    def _accept(self, frame: Frame) -> None:
        value = frame.value
        self.began.set()
        if frame.is_event:
            self._cursor = value["id"]
            self.frames.append(frame)
            epoch, _, seq = self._cursor.rpartition("-")
            terminal = value["type"] == "finished"
            self.rows.append(
                Received(self.name, self.connections, self.generation, epoch, int(seq), canonical(value), terminal)
            )
            return
        self.controls.append(value)
        if value["type"] == "json":
            self.viewed.set()
        if value.get("reset") is not None:
            self.frames.clear()
            self._cursor = None
            self.rows.append(Reset(self.name, self.connections, self.generation, value["reset"]))

    def _record_open(self) -> None:
        place = None
        if self._cursor is not None:
            epoch, _, seq = self._cursor.rpartition("-")
            place = (epoch, int(seq)) if epoch and seq.isdigit() else None
        self.rows.append(Open(self.name, self.connections, self.generation, place))


def plain(event: dict[str, Any]) -> str:
    """An event, id and all, as text that is equal for equal events."""
    return json.dumps(event, sort_keys=True)
