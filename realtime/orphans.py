"""The end of a generation whose process has died: what can be said of it from its log alone."""

import time

from .errors import RealtimeError
from .events import Attempt, Finished, StoppedBy, Summary, Text, Timings, Usage
from .log import EventLog
from .usage import estimated_tokens


def orphan_end(log: EventLog, stopped_by: StoppedBy | None) -> Finished:
    """As it was asked to end, or as lost. What was said is counted, for its figures are gone; the prompt is not there
    to be."""
    said = [entry.event.size() for entry in log.since(0) if isinstance(entry.event, Text)]
    usage = Usage(output_tokens=estimated_tokens(len(said), sum(said)), estimated=True)
    timings = Timings(duration_ms=max(0, int(time.time() * 1000) - log.meta.created_ms), first_event_ms=_first_ms(log))
    if stopped_by is not None:
        return Finished("stopped", stopped_by=stopped_by, usage=usage, timings=timings)
    return Finished("failed", error=RealtimeError("driver_lost").error, usage=usage, timings=timings)


def orphan_summary(log: EventLog, finished: Finished) -> Summary:
    """The record of a log that was ended so."""
    meta = log.meta
    attempts = [entry.event for entry in log.since(0) if isinstance(entry.event, Attempt)]
    _, _, asked = meta.model.partition("/")
    return Summary(
        generation=meta.generation,
        tenant=meta.tenant,
        subject=meta.subject,
        provider=attempts[-1].provider if attempts else meta.provider,
        model=attempts[-1].model if attempts else asked,
        created_ms=meta.created_ms,
        outcome=finished.outcome,
        usage=finished.usage,
        timings=finished.timings,
        events=log.head,
        attempts=len(attempts),
        stopped_by=finished.stopped_by,
        error=finished.error,
        conversation=meta.conversation,
        metadata=meta.metadata,
    )


def _first_ms(log: EventLog) -> int | None:
    return next((entry.at for entry in log.since(0) if isinstance(entry.event, Text)), None)
