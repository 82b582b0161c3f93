"""`view=json`: what the text of a generation parses to so far, for interfaces that draw a growing object.

Computed once per log however many observers ask, at most every 100 ms and at the end; jiter's partial mode does the
parsing, so an unfinished string or list is shown as far as it goes.
"""

import time
from collections.abc import Callable
from typing import Any

import jiter

from realtime.events import Text
from realtime.log import EventLog

from .codec import Json

LEAST_MS = 100

_KEY = "json_view"


class JsonView:
    """The parsed text of one log; get it with `of`."""

    def __init__(self, log: EventLog, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._seq = 0
        self._text: list[str] = []
        self._parsed_at = -1.0
        self._version = 0
        self._value: Any = None

    @classmethod
    def of(cls, log: EventLog) -> "JsonView":
        """The one view of a log, shared by its observers."""
        view = log.derived.get(_KEY)
        if view is None:
            view = log.derived[_KEY] = cls(log)
        assert isinstance(view, cls)
        return view

    @property
    def pending(self) -> bool:
        """Whether there is something that was not due yet when it was last looked at."""
        return self._seq < self._log.head

    def newer(self, version: int) -> tuple[int, Json] | None:
        """The view as a frame, with its version, when it is newer than `version`; None when it is not, or not due."""
        final = self._log.finished is not None
        self._update(final=final)
        if self._version <= version:
            return None
        return self._version, Json(self._log.meta.generation, self._value, final)

    def _update(self, *, final: bool) -> None:
        head, now = self._log.head, self._clock()
        if head == self._seq or (not final and now - self._parsed_at < LEAST_MS / 1000):
            return
        fresh = [entry.event.text for entry in self._log.since(self._seq) if isinstance(entry.event, Text)]
        self._seq = head
        if not fresh and not final:
            return
        self._parsed_at = now
        self._text.extend(fresh)
        self._text = ["".join(self._text)]
        self._value = _parse(self._text[0], self._value)
        self._version += 1


def _parse(text: str, last: Any) -> Any:
    """The value so far; what is no JSON (yet) leaves the last one standing."""
    try:
        return jiter.from_json(text.encode(), partial_mode="trailing-strings", allow_inf_nan=False)
    except ValueError:
        return last
