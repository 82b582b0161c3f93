"""What a history is made of: one row for everything that was written, and for everything somebody saw.

Rows need no clock and no common order but that of each observer's own. A value is an event as text, canonical so that
equal values are equal text, without its id.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, TextIO


@dataclass(frozen=True, slots=True)
class Append:
    """A writer tried to add an event. `info` is an unknown outcome: it may or may not be in the log."""

    generation: str
    epoch: str
    seq: int
    value: str
    result: Literal["ok", "fail", "info"] = "ok"
    terminal: bool = False


@dataclass(frozen=True, slots=True)
class Open:
    """An observer connected, with the cursor it asked to go on from; None for the beginning."""

    observer: str
    conn: int
    generation: str
    cursor: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """An observer was shown an event."""

    observer: str
    conn: int
    generation: str
    epoch: str
    seq: int
    value: str
    terminal: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """An observer was told to forget what it has."""

    observer: str
    conn: int
    generation: str
    reason: str


@dataclass(frozen=True, slots=True)
class Close:
    """A connection was over. `ended`: the server said that there is nothing more; everything else is a broken one."""

    observer: str
    conn: int
    generation: str
    reason: Literal["ended", "cut", "left", "bye"]


@dataclass(frozen=True, slots=True)
class Stop:
    """Somebody asked for the end of a generation and was answered."""

    generation: str
    state: str


@dataclass(frozen=True, slots=True)
class Settled:
    """The ledger was given the one record of an ended generation."""

    generation: str
    outcome: str
    events: int


Row = Append | Open | Received | Reset | Close | Stop | Settled

_KINDS: dict[str, type[Any]] = {
    kind.__name__.lower(): kind for kind in (Append, Open, Received, Reset, Close, Stop, Settled)
}


def canonical(event: dict[str, Any]) -> str:
    """An event as a value: the same text for the same event, whatever wire it came by."""
    return json.dumps({key: value for key, value in event.items() if key != "id"}, sort_keys=True, ensure_ascii=True)


def dump(rows: Iterable[Row], file: TextIO) -> None:
    """Write rows as JSON lines, one file for each process."""
    file.writelines(json.dumps({"row": type(row).__name__.lower(), **asdict(row)}) + "\n" for row in rows)


def load(lines: Iterable[str]) -> Iterator[Row]:
    """Read what `dump` wrote."""
    for line in lines:
        fields = json.loads(line)
        kind = _KINDS[fields.pop("row")]
        if fields.get("cursor") is not None:
            fields["cursor"] = tuple(fields["cursor"])
        yield kind(**fields)
