"""Where an observation is, and what a frame of any wire means there: pure, so every rule is tested without a socket."""

from typing import Any, Literal, NamedTuple

import msgspec

from realtime.cursor import Cursor, parse_cursor
from realtime.errors import RealtimeError
from realtime.events import PHASES, AnyEvent, Finished, State

from .errors import DroppedError

# A decoded frame: an event, or what the connection says about itself.
Frame = dict[str, Any]

# Frames the wires make themselves, out of what is not a frame on theirs.
NOTHING_MORE: Frame = {"type": "nothing_more"}
RETRY = "retry"

_EVENTS = {kind.__struct_config__.tag for kind in PHASES}

# What a generation is in after an event that is no content.
_STATES: dict[str, State] = {"queued": "queued", "attempt": "starting"}


class Reset(msgspec.Struct, frozen=True):
    """What was received is no longer the log: forget all of it; the log follows from its beginning."""

    reason: Literal["branch", "trimmed"]


class JsonView(msgspec.Struct, frozen=True):
    """With `view="json"`: the value that the text parses to so far."""

    value: Any
    final: bool = False


class Unknown(msgspec.Struct, frozen=True):
    """An event of a type, or with a value, that is younger than this client. It may be passed over."""

    kind: str
    fields: dict[str, Any]


class Observed(NamedTuple):
    """What an observation yields.

    Attributes:
        cursor: The observer's place once it has this.
        at: Milliseconds since the generation started.
        event: An event of the log, or one of the three that are not: `Reset`, `JsonView`, `Unknown`.
    """

    cursor: str
    at: int
    event: AnyEvent | Reset | JsonView | Unknown


class Place:
    """An observer's place in one log.

    Args:
        after: Cursor to begin after; None for everything.
        view_json: Whether `json` frames come too; their last one comes after `finished`.

    Attributes:
        state: As last heard; None before the first word.
        resets: How often everything had to be forgotten.
        finished: The terminal event, once it came.
        ended: Nothing more will come.
        progress: Something came that a connection is worth keeping for. Whoever counts failures sets it back.
        retry_base_s: Reconnection time an SSE stream asked for.
    """

    def __init__(self, after: str | None = None, *, view_json: bool = False) -> None:
        self._cursor = None if after is None else parse_cursor(after)
        self._at = 0
        self._view_json = view_json
        self._terminal = False
        self.state: State | None = None
        self.resets = 0
        self.finished: Finished | None = None
        self.ended = False
        self.progress = False
        self.retry_base_s: float | None = None

    def __repr__(self) -> str:
        return f"<Place {self.cursor} {self.state} resets={self.resets}>"

    @property
    def cursor(self) -> str | None:
        """The id of the last event handed on; what a new connection goes on from."""
        return None if self._cursor is None else str(self._cursor)

    def disconnected(self) -> None:
        """The connection ended by itself, in its time or not.

        Raises:
            DroppedError: Not in its time, however politely.
        """
        if not self.ended and not self._terminal:
            raise DroppedError("the connection ended before the generation did")

    def take(self, frame: Frame) -> Observed | None:
        """Take the next frame; what it holds for the observer, if anything.

        Raises:
            DroppedError: This connection is of no more use.
        """
        kind = frame.get("type")
        if not isinstance(kind, str):
            raise DroppedError("a frame has no type")
        if isinstance(frame.get("id"), str) and kind != "position":
            return self._event(kind, frame)
        if kind in _EVENTS:
            raise DroppedError(f"an event of type {kind} has no id")
        return self._control(kind, frame)

    def _event(self, kind: str, frame: Frame) -> Observed | None:
        cursor = _cursor(frame["id"])
        if self._cursor is not None and cursor.seq <= self._cursor.seq:
            return None  # A branch that was left is announced by a reset, so the number alone tells a repeat.
        event = _typed(kind, frame)
        self._cursor, self.progress = cursor, True
        self._at = frame["at"] if isinstance(frame.get("at"), int) else self._at
        self._follow_state(kind)
        if isinstance(event, Finished):
            self.finished = event
        if kind == "finished":
            self.state, self._terminal, self.ended = "finished", True, not self._view_json
        return Observed(str(cursor), self._at, event)

    def _follow_state(self, kind: str) -> None:
        if self.state != "stopping" and kind != "started":
            # It may stand in line again after a try that failed.
            self.state = _STATES.get(kind, "streaming")

    def _control(self, kind: str, frame: Frame) -> Observed | None:
        match kind:
            case "position":
                return self._position(frame)
            case "heartbeat":
                self.progress = True
            case "json":
                self.progress = True
                view = JsonView(frame.get("value"), frame.get("final") is True)
                self.ended = view.final and self._terminal
                return Observed(str(self._cursor), self._at, view)
            case "bye":
                wait_s = _number(frame.get("retry_ms")) / 1000
                raise DroppedError(f"the server said bye: {frame.get('reason')}", wait_s=wait_s)
            case "retry":
                self.retry_base_s = _number(frame.get("retry_ms")) / 1000
            case "nothing_more":
                self.state, self.ended = "finished", True
        return None

    def _position(self, frame: Frame) -> Observed | None:
        at, reset = _cursor(frame.get("cursor")), frame.get("reset")
        self.state = frame.get("state")
        if reset is not None:
            self._cursor, self._at, self.finished, self._terminal, self.progress = at, 0, None, False, True
            self.resets += 1
            return Observed(str(at), 0, Reset(reset))
        if self._cursor is None:
            self._cursor = at
        elif at.seq > self._cursor.seq:
            # It would go on behind a gap.
            raise DroppedError("the server took the observer to be further than it is")
        self.ended = self.state == "finished" and frame.get("head") == frame.get("cursor") == self.cursor
        return None


def _typed(kind: str, frame: Frame) -> AnyEvent | Unknown:
    if kind in _EVENTS:
        try:
            event: AnyEvent = msgspec.convert(frame, AnyEvent)
            return event
        except msgspec.ValidationError:
            # A value that is younger than this client (a new outcome, say). Fatal here would be fatal at every resume.
            pass
    return Unknown(kind, {name: value for name, value in frame.items() if name not in {"id", "type", "at"}})


def _cursor(text: Any) -> Cursor:
    try:
        return parse_cursor(text)
    except (RealtimeError, TypeError):
        raise DroppedError("a frame has no cursor where one belongs") from None


def _number(value: Any) -> float:
    return max(0.0, float(value)) if isinstance(value, int | float) else 0.0
