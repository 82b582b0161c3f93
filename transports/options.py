"""How one observer wants to be served: where to go on from, and views that touch nobody else.

Query strings and WebSocket commands are read into the same struct, so an option means the same on every wire.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta as Limit

from realtime.cursor import Cursor, parse_cursor
from realtime.errors import RealtimeError
from realtime.strict import convert

MAX_RATE = 10_000
MAX_FLUSH_MS = 10_000


class ObserveOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options of one observation.

    Attributes:
        after: A cursor; the observation begins after it.
        pace: `<rate>[,<burst>]`, deltas per second.
        flush_ms: Least time between two writes; the first goes at once.
    """

    after: str | None = None
    replay: Literal["merged"] | None = None
    view: Literal["json"] | None = None
    pace: str | None = None
    flush_ms: Annotated[int, Limit(ge=0, le=MAX_FLUSH_MS)] = 0

    def cursor(self) -> Cursor | None:
        """Raises `bad_cursor`."""
        return None if self.after is None else parse_cursor(self.after)

    def bucket(self) -> "Bucket | None":
        """Raises `bad_request` naming `pace`."""
        if self.pace is None:
            return None
        rate, comma, burst = self.pace.partition(",")
        try:
            return Bucket(_pace_number(rate), _pace_number(burst) if comma else 1)
        except ValueError:
            raise RealtimeError(
                "bad_request",
                f"pace is <rate>[,<burst>], each a whole number from 1 to {MAX_RATE}.",
                field="pace",
                limit=MAX_RATE,
            ) from None


class Bucket:
    """A token bucket: `burst` deltas at once, then `rate` a second."""

    __slots__ = ("_burst", "_filled_at", "_level", "_rate")

    def __init__(self, rate: int, burst: int) -> None:
        self._rate, self._burst = rate, burst
        self._level = float(burst)
        self._filled_at: float | None = None

    def take(self, now_s: float, wanted: int) -> tuple[int, float]:
        """Take up to `wanted` deltas.

        Returns:
            How many may go now, and after how many seconds to ask again when it is none.
        """
        if self._filled_at is not None:
            self._level = min(self._burst, self._level + (now_s - self._filled_at) * self._rate)
        self._filled_at = now_s
        allowed = min(int(self._level), wanted)
        self._level -= allowed
        return allowed, 0.0 if allowed else (1 - self._level) / self._rate


def read_options(query: Mapping[str, str], last_event_id: str | None) -> ObserveOptions:
    """Read a query string; `Last-Event-ID`, which a browser sends by itself, wins over `after`.

    Raises:
        RealtimeError: `bad_request` or `bad_cursor`, naming the parameter.
    """
    values: dict[str, str | int] = dict(query)
    if last_event_id:
        values["after"] = str(parse_cursor(last_event_id, "Last-Event-ID"))
    flush = query.get("flush_ms")
    if flush is not None and flush.isascii() and flush.isdigit() and len(flush) < 10:
        values["flush_ms"] = int(flush)
    options = convert(values, ObserveOptions)
    options.cursor(), options.bucket()
    return options


def _pace_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= MAX_RATE):
        raise ValueError(text)
    return int(text)
