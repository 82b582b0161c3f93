"""What a writer has handed over and Redis has not acknowledged: the log's end, which nobody is shown yet."""

import time
from collections import deque
from collections.abc import Sequence

from realtime.errors import RealtimeError
from realtime.events import FOLLOWS, PHASES, AnyEvent, Phase
from realtime.log import MAX_EVENTS, EventLog, beyond_limit

# Of one batch: small enough that nobody waits behind it, large enough that it is what a round trip costs.
_BATCH_EVENTS, _BATCH_BYTES = 512, 64 * 1024


class Ahead:
    """The events after a log's head, in order.

    Args:
        log: As far as Redis has it.
        born: Monotonic time of the log's beginning.
        limit_bytes: Payload of the whole after which `append` refuses; None for a windowed log.

    Attributes:
        payload_bytes: Of these events.
    """

    __slots__ = ("_born", "_events", "_limit_bytes", "_log", "_phase", "payload_bytes")

    def __init__(self, log: EventLog, born: float, limit_bytes: int | None) -> None:
        self._log = log
        self._born = born
        self._limit_bytes = limit_bytes
        self._phase: Phase = log.phase
        # Milliseconds since the beginning, the event, its payload in bytes.
        self._events: deque[tuple[int, AnyEvent, int]] = deque()
        self.payload_bytes = 0

    def __len__(self) -> int:
        return len(self._events)

    @property
    def written(self) -> tuple[int, int]:
        """See `Writer.written`."""
        return self._log.head + len(self._events), self._log.appended_bytes + self.payload_bytes

    def append(self, event: AnyEvent, *, refuse: bool) -> int:
        """Hand it over.

        Args:
            refuse: Whether nothing more of the content is taken.

        Returns:
            Its number in the log.

        Raises:
            ValueError: It may not follow what is there.
            RealtimeError: `log_limit`, `bus_full`.
        """
        phase = PHASES[type(event)]
        if phase not in FOLLOWS[self._phase]:
            raise ValueError(f"{type(event).__name__} may not follow {self._phase!r} in {self._log!r}")
        size = event.size()
        head = self._log.head + len(self._events)
        limit = self._limit_bytes
        if phase == "content":
            if refuse:
                raise RealtimeError("bus_full")
            if limit is not None:
                payload = self._log.payload_bytes + self.payload_bytes + size
                if payload > limit or head >= MAX_EVENTS:
                    raise beyond_limit(limit, payload)
        self._phase = phase
        self.payload_bytes += size
        self._events.append((int((time.monotonic() - self._born) * 1000), event, size))
        return head + 1

    def move(self, top: int) -> bool:
        """Let the log have what Redis has, up to that number; whether there was any. Nobody is told yet."""
        log, events = self._log, self._events
        moved = log.head < top and bool(events)
        while log.head < top and events:
            at, event, size = events.popleft()
            self.payload_bytes -= size
            log.append(event, at, more=True)
        return moved

    def batch(self) -> Sequence[tuple[int, AnyEvent]]:
        """The first of them, as many as Redis is given at once."""
        events = self._events
        if len(events) == 1:
            # By far the most are of one.
            return [events[0][:2]]
        batch, size = [], 0
        for at, event, bytes_ in events:
            batch.append((at, event))
            size += bytes_
            if len(batch) == _BATCH_EVENTS or size >= _BATCH_BYTES:
                break
        return batch

    def again(self, after: int) -> Sequence[tuple[int, AnyEvent]]:
        """Of the log itself what Redis has lost of it, as much as it is given at once."""
        return [(entry.at, entry.event) for entry in self._log.since(after)[:_BATCH_EVENTS]]

    def clear(self) -> None:
        """Let go of them: they will not be written, nor will what follows them."""
        self._events.clear()
        self.payload_bytes = 0

    def take_back(self) -> None:
        """Be as if they had not been handed over, so that something else may follow."""
        self.clear()
        self._phase = self._log.phase
