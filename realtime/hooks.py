"""How the outside is told: one callable that gets frozen records. Metrics and logs hang here and nowhere else.

A hook is called on the loop, between two awaits, at the few moments below and never per event; it must not block.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Literal, Protocol

import msgspec

from .events import State, StoppedBy, Summary
from .log import Meta

_logger = logging.getLogger("realtime")

Wire = str
Leaving = Literal["finished", "disconnected", "unobserved", "too_slow", "bye"]


class GenerationStarted(msgspec.Struct, frozen=True):
    meta: Meta


class FirstEvent(msgspec.Struct, frozen=True):
    """The first content event was appended, `after_ms` since `started`."""

    meta: Meta
    after_ms: int


class AttemptEnded(msgspec.Struct, frozen=True):
    """A provider was asked, by which of its deployments, and gave an answer; or failed, with which code.

    Attributes:
        unknown: What it sent that has no name here, by kind.
    """

    meta: Meta
    provider: str
    deployment: str
    model: str
    code: str | None
    unknown: Mapping[str, int] = {}


class StopRequested(msgspec.Struct, frozen=True):
    meta: Meta
    by: StoppedBy
    state: State


class GenerationEnded(msgspec.Struct, frozen=True):
    """Given once per generation, to the one whose terminal event ended the log."""

    summary: Summary


class GenerationTakenOver(msgspec.Struct, frozen=True):
    """The process that drove it has gone, and this one ends it: `GenerationEnded` follows here."""

    meta: Meta


class GenerationLost(msgspec.Struct, frozen=True):
    """Another process has taken it over, or ended it, or is left to: no `GenerationEnded` follows here."""

    meta: Meta


class ObservationStarted(msgspec.Struct, frozen=True):
    meta: Meta
    wire: Wire
    resumed: bool


class ObservationEnded(msgspec.Struct, frozen=True):
    """An observer left, in which state of the generation and why."""

    meta: Meta
    wire: Wire
    state: State
    why: Leaving


Record = (
    GenerationStarted
    | AttemptEnded
    | FirstEvent
    | StopRequested
    | GenerationEnded
    | GenerationTakenOver
    | GenerationLost
    | ObservationStarted
    | ObservationEnded
)


class Hook(Protocol):
    """Called with every record; what it raises is logged and goes no further."""

    def __call__(self, record: Record, /) -> None: ...


class Hooks:
    """Several hooks as one."""

    def __init__(self, hooks: Iterable[Hook] = ()) -> None:
        self._hooks = tuple(hooks)

    def __call__(self, record: Record) -> None:
        for hook in self._hooks:
            try:
                hook(record)
            except Exception:
                _logger.exception("hook %r failed on %s", hook, type(record).__name__)
