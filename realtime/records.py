"""Structured logs: a line at the start, first event and end; never one per token, never a prompt or a key."""

import logging
from typing import Any

import msgspec

from .hooks import (
    AttemptEnded,
    FirstEvent,
    GenerationEnded,
    GenerationLost,
    GenerationStarted,
    GenerationTakenOver,
    ObservationEnded,
    Record,
    StopRequested,
)

_logger = logging.getLogger("realtime")


def log_records(record: Record, /) -> None:
    """A hook that logs; fields are in `extra["fields"]` for whatever formatter is set."""
    match record:
        case GenerationStarted(meta):
            _info("started", generation=meta.generation, model=meta.model, conversation=meta.conversation)
        case GenerationTakenOver(meta):
            _log(logging.WARNING, "taken over", generation=meta.generation, model=meta.model)
        case GenerationLost(meta):
            _log(logging.WARNING, "lost to another process", generation=meta.generation, model=meta.model)
        case FirstEvent(meta, after_ms):
            _info("first event", generation=meta.generation, model=meta.model, after_ms=after_ms)
        case AttemptEnded(meta, provider, deployment, model, str(code)):
            _info(
                "attempt failed",
                generation=meta.generation,
                provider=provider,
                deployment=deployment,
                model=model,
                code=code,
            )
        case StopRequested(meta, by, state):
            _info("stop requested", generation=meta.generation, by=by, state=state)
        case ObservationEnded(meta, wire, _, "too_slow"):
            _info("observer too slow", generation=meta.generation, wire=wire)
        case GenerationEnded(summary):
            level = logging.WARNING if summary.outcome == "failed" else logging.INFO
            _log(
                level,
                summary.outcome,
                generation=summary.generation,
                tenant=summary.tenant,
                provider=summary.provider,
                model=summary.model,
                reason=summary.reason,
                native_reason=summary.native_reason,
                stopped_by=summary.stopped_by,
                error=summary.error.code if summary.error else None,
                events=summary.events,
                attempts=summary.attempts if summary.attempts != 1 else None,
                cost=summary.cost,
                usage=msgspec.to_builtins(summary.usage),
                timings=msgspec.to_builtins(summary.timings),
            )
        case _:
            return


def _info(message: str, **fields: Any) -> None:
    _log(logging.INFO, message, **fields)


def _log(level: int, message: str, **fields: Any) -> None:
    _logger.log(level, message, extra={"fields": {key: value for key, value in fields.items() if value is not None}})
