"""What a generation and a conversation look like as JSON, and the wait for one to finish."""

import asyncio
import re
from typing import Any
from urllib.parse import quote

import msgspec

from realtime.errors import ErrorObject, RealtimeError
from realtime.events import Outcome, Queued, Reason, State, StoppedBy, Timings, Usage
from realtime.log import EventLog
from realtime.message import Message, assemble
from transports.asgi import Receive, Scope, header

# What RFC 3986 allows in a path as it is. An app may mount the routes below a path with parameters of its callers'.
_PATH = "/-._~!$&'()*+,;=:@"
# `Prefer: wait=N`, RFC 7240; proxies and clients give up long before five minutes are over.
MAX_PREFER_WAIT_S = 300
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?([0-9]{1,9})\"?", re.ASCII | re.IGNORECASE)


class Links(msgspec.Struct, frozen=True):
    """Paths, below wherever the routes are mounted."""

    self: str
    events: str
    stop: str


class Resource(msgspec.Struct, frozen=True, omit_defaults=True):
    """A generation as `GET` shows it; `message` only where one generation is asked for by id.

    Attributes:
        trimmed: Events at the beginning that a windowed log no longer keeps; it goes with `message`, which is without
            them.
        queue_position: In the line for a place at the provider, from 1, while it waits there.
    """

    id: str
    state: State
    model: str
    created_ms: int
    cursor: str
    links: Links
    conversation: str | None = None
    metadata: dict[str, Any] | None = None
    outcome: Outcome | None = None
    reason: Reason | None = None
    native_reason: str | None = None
    stopped_by: StoppedBy | None = None
    error: ErrorObject | None = None
    usage: Usage | None = None
    timings: Timings | None = None
    message: Message | None = None
    trimmed: int = 0
    queue_position: int | None = None


class StopState(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to a stop."""

    id: str
    state: State
    outcome: Outcome | None = None


class ConversationState(msgspec.Struct, frozen=True):
    """Which generation of a conversation is active, and which is the latest."""

    conversation: str
    active: str | None
    latest: str | None


def mount_path(scope: Scope) -> str:
    """Where the routes are mounted: what stands before `/v1/` in the path of this request, as a URL's path."""
    path: str = scope["path"]
    return quote(path.rpartition("/v1/")[0], safe=_PATH)


def resource(log: EventLog, base: str, *, whole: bool) -> Resource:
    """A generation as JSON.

    Args:
        base: What the links begin with.
        whole: Whether to assemble its message.
    """
    meta, finished = log.meta, log.finished
    place = f"{base}/v1/generations/{meta.generation}"
    return Resource(
        id=meta.generation,
        state=log.state,
        model=meta.model,
        created_ms=meta.created_ms,
        cursor=log.cursor,
        links=Links(place, f"{place}/events", f"{place}/stop"),
        conversation=meta.conversation,
        metadata=meta.metadata,
        outcome=finished.outcome if finished else None,
        reason=finished.reason if finished else None,
        native_reason=finished.native_reason if finished else None,
        stopped_by=finished.stopped_by if finished else None,
        error=finished.error if finished else None,
        usage=finished.usage if finished else None,
        timings=finished.timings if finished else None,
        message=assemble(entry.event for entry in log.since(0)) if whole else None,
        # A log that is only listed may hold no more than its end.
        trimmed=log.trimmed if whole else 0,
        queue_position=_queue_position(log),
    )


def _queue_position(log: EventLog) -> int | None:
    entries = log.since(log.head - 1) if log.state == "queued" else ()
    return next((entry.event.position for entry in entries if isinstance(entry.event, Queued)), None)


def stop_state(log: EventLog) -> StopState:
    """The answer to a stop of this log."""
    return StopState(log.meta.generation, log.state, log.finished.outcome if log.finished else None)


def wait_preference(scope: Scope) -> int | None:
    """Seconds of `Prefer: wait=N`, at most `MAX_PREFER_WAIT_S`; a preference is never refused, only bounded."""
    match = _WAIT.search(header(scope, b"prefer") or "")
    return min(int(match[1]), MAX_PREFER_WAIT_S) if match else None


async def wait_finished(log: EventLog, receive: Receive, timeout_s: float) -> None:
    """Return when the log is finished, the client has gone or the time is over.

    Who waits is present, so nothing is stopped under it. One that hangs up has left like any observer, and nobody pays
    for nothing; one whose time is over asked how far it is, and may ask again.
    """
    waiter = object()
    log.attach(waiter, None)
    ended, left = asyncio.ensure_future(_finished(log)), asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({ended, left}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        log.detach(waiter, gone=left.done())
        ended.cancel()
        left.cancel()


async def _finished(log: EventLog) -> None:
    while log.finished is None:
        await log.wait(log.head)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def conversation_state(name: str, logs: list[EventLog]) -> ConversationState:
    """The state of a conversation, from its logs, oldest first."""
    active = active_log(logs)
    return ConversationState(
        name, active.meta.generation if active else None, logs[-1].meta.generation if logs else None
    )


def active_log(logs: list[EventLog]) -> EventLog | None:
    """The newest log that has not ended."""
    return next((log for log in reversed(logs) if log.finished is None), None)


def not_idle(log: EventLog | None) -> EventLog:
    """The log, or `not_found` for a conversation that has no active one."""
    if log is None:
        raise RealtimeError("not_found", "The conversation has no active generation.", field="conversation")
    return log
