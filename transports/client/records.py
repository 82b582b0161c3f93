"""What the server answers, as the caller gets it. Fields this version does not know are passed over."""

from typing import Any, NamedTuple

import msgspec

from realtime.errors import ErrorObject
from realtime.events import Finished, Outcome, Reason, State, StoppedBy, Timings, Usage
from realtime.message import Message


class Generation(NamedTuple):
    """A generation that was started.

    Attributes:
        generation: Its id.
        state: When the server answered.
        replayed: It had been started before under the same idempotency key.
    """

    generation: str
    state: State
    replayed: bool


class Result(NamedTuple):
    """A generation from beginning to end."""

    generation: str
    message: Message
    finished: Finished


class Resource(msgspec.Struct, frozen=True):
    """A generation as `GET` shows it: the whole message so far, and how it ended if it has."""

    id: str
    state: State
    model: str
    created_ms: int
    cursor: str | None = None
    message: Message | None = None
    outcome: Outcome | None = None
    reason: Reason | None = None
    native_reason: str | None = None
    stopped_by: StoppedBy | None = None
    error: ErrorObject | None = None
    usage: Usage | None = None
    timings: Timings | None = None
    conversation: str | None = None
    metadata: dict[str, Any] | None = None


class Page(msgspec.Struct, frozen=True):
    """Some generations, newest first; `next` is the `before` of the page that follows, None on the last."""

    generations: tuple[Resource, ...]
    next: str | None = None


class StopAnswer(msgspec.Struct, frozen=True):
    """What a stop found: `stopping`, or `finished` with the outcome it had."""

    id: str
    state: State
    outcome: Outcome | None = None


class Conversation(msgspec.Struct, frozen=True):
    """The ids of a conversation's running and of its latest generation."""

    conversation: str
    active: str | None = None
    latest: str | None = None


class Model(msgspec.Struct, frozen=True):
    id: str
    provider: str
