"""The one hand that writes a log in Redis: what it is given is visible once Redis has it, here like anywhere.

It keeps what it has handed over and Redis has not acknowledged, and the log itself is the rest of what it has ever
written. So wherever Redis turns out to be (an answer was lost, a failover has forgotten the last second, all of it is
gone), it goes on from there, and the answer that tells where is the only thing it believes. An end may be forgotten
like anything else, so a log that has ended is looked at once more.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

from realtime.bus.base import SealResult
from realtime.bus.memory_writer import Retention
from realtime.cursor import encode_epoch
from realtime.errors import RealtimeError
from realtime.events import FOLLOWS, PHASES, AnyEvent, Finished, Phase, StoppedBy
from realtime.log import MAX_EVENTS, EventLog

from .batches import encode_batch
from .keys import log_keys
from .refusals import Refusals

_logger = logging.getLogger("realtime")

# What a generation may be ahead of Redis, before its provider is read no further.
_MOST_AHEAD_BYTES = 1 << 20
# Of one batch: small enough that nobody waits behind it, large enough that it is what a round trip costs.
_BATCH_EVENTS, _BATCH_BYTES = 512, 64 * 1024
# What a replica may lag behind: an end that Redis still has so much later will not be forgotten by a failover.
CERTAIN_S = 10.0
# How long an end waits for a Redis that does not answer: longer than a restart takes, or a failover.
SEAL_S = 120.0
# A lease is renewed this often, and holds for the longer time. Whoever hangs for that long is replaced. With the time
# between two looks, and with that of a process that hears nothing either, a stop still takes no more than 3.5 s.
RENEW_S, LEASE_S = 2.5, 8.0
# A renewal is begun at this part of that time, so that it has come to Redis in time whenever it is next looked at, and
# whatever its way takes.
_EARLY = 2 / 3


class Flusher(Protocol):
    """Who carries what is written to Redis."""

    def dirty(self, writer: "RedisWriter") -> None:
        """It has something to say."""
        ...


class Piece(NamedTuple):
    """What Redis is to append, or with no batch only to renew.

    Attributes:
        first: Number of the first event.
        last: Number of the last; before `first` when there is none.
    """

    first: int
    last: int
    batch: bytes
    renews: bool
    final: bool
    oldest: int | None


class _Ahead(NamedTuple):
    at: int
    event: AnyEvent
    size: int


class RedisWriter:
    """See `Writer`.

    Args:
        log: As far as Redis has it.
        fence: This writer's epoch; a greater one is another's, and ends this.
        born: Monotonic time of the log's beginning.
        token: Tells a repeated creation from a second one.

    Attributes:
        adrift: What is shown of the log here is not what the log of record is, or will not become it: whoever reads it
            here is to come again.
        ahead_bytes: Payload of what was handed over and Redis has not acknowledged.
    """

    def __init__(
        self,
        log: EventLog,
        fence: int,
        flusher: Flusher,
        retention: Retention,
        *,
        born: float,
        token: str,
        stop: StoppedBy | None = None,
    ) -> None:
        self.log = log
        self.fence = fence
        self.token = token
        self.keys = log_keys(log.meta.tenant, log.meta.generation)
        self.stop_requested: StoppedBy | None = None
        self.lost: SealResult | None = None
        self.adrift = False
        self._renewed = self._ended = time.monotonic()
        self._certain = False
        self._refusals = Refusals()
        self._flusher = flusher
        self._retention = retention
        self._born = born
        self._phase: Phase = log.phase
        self._bytes = log.payload_bytes
        self._appended = log.appended_bytes
        self._ahead: deque[_Ahead] = deque()
        self.ahead_bytes = 0
        self._next = log.head + 1
        self._room: asyncio.Future[None] | None = None
        self._sealed: asyncio.Future[SealResult] | None = None
        self._on_stop: Callable[[StoppedBy], None] | None = None
        self._on_lost: Callable[[], None] | None = None
        if stop is not None:
            self.request_stop(stop)

    def __repr__(self) -> str:
        return f"<RedisWriter {self.log!r} ahead={len(self._ahead)}>"

    # For the session.

    @property
    def written(self) -> tuple[int, int]:
        return self.log.head + len(self._ahead), self._appended

    def on_stop(self, callback: Callable[[StoppedBy], None]) -> None:
        self._on_stop = callback
        if self.stop_requested is not None:
            callback(self.stop_requested)

    def on_lost(self, callback: Callable[[], None]) -> None:
        self._on_lost = callback
        if self.lost is not None:
            callback()

    def append(self, event: AnyEvent, *, more: bool = False) -> int:
        phase = PHASES[type(event)]
        if phase not in FOLLOWS[self._phase]:
            raise ValueError(f"{type(event).__name__} may not follow {self._phase!r} in {self!r}")
        size = event.size()
        head = self.log.head + len(self._ahead)
        if phase == "content":
            self._refuse_when_full(head, size)
        self._phase = phase
        self._bytes += size
        self._appended += size
        self.ahead_bytes += size
        self._ahead.append(_Ahead(int((time.monotonic() - self._born) * 1000), event, size))
        if not more:
            self._flusher.dirty(self)
        return head + 1

    def show(self) -> None:
        self._flusher.dirty(self)

    def room(self) -> Awaitable[None] | None:
        if self.ahead_bytes <= _MOST_AHEAD_BYTES and not self._behind():
            return None
        if self._room is None or self._room.done():
            self._room = asyncio.get_running_loop().create_future()
        return self._room

    async def seal(self, finished: Finished) -> SealResult:
        if self.log.finished is not None:
            return "closed"
        if self.lost is not None:
            return self.lost
        if self._sealed is None:
            self._sealed = asyncio.get_running_loop().create_future()
            self.append(finished)
        self._on_stop = self._on_lost = None
        sealed = self._sealed
        try:
            async with asyncio.timeout(SEAL_S):
                return await asyncio.shield(sealed)
        except TimeoutError:
            if not sealed.done():
                self._give_up()
            return sealed.result()

    def _give_up(self) -> None:
        """Write nothing more, though nobody else has the log. Its lease runs out, and who sweeps it then ends it."""
        _logger.error("redis: %s could not be ended within %g s", self.log.meta.generation, SEAL_S)
        self.adrift = True
        self.lose("fenced")

    # For whoever carries it.

    def request_stop(self, by: StoppedBy) -> None:
        """Note the first wish to stop, by whatever way it came, and tell the session."""
        if self.stop_requested is None and self.log.finished is None:
            self.stop_requested = by
            self.log.stopping = True
            if self._on_stop is not None:
                self._on_stop(by)

    def note_elsewhere(self, *, observed: bool) -> None:
        """Somebody has come to another process, or left it: whoever drives this begins again to wait for its last
        observer. How many are elsewhere is not believed, since a process that dies does not say that they have gone; a
        stop that is asked for because nobody is there is refused in Redis while somebody is."""
        callback = self.log.on_presence
        if callback is not None:
            callback(self.log.observers, observed)

    def carried_by(self, flusher: Flusher) -> None:
        """It is this one that carries what it has to say."""
        self._flusher = flusher

    @property
    def over(self) -> bool:
        """Nothing more is to be said."""
        return self.lost is not None or self.log.finished is not None

    @property
    def done(self) -> bool:
        """Nothing more of it is to be carried: what was said will not be forgotten, or another has the log."""
        return self.lost is not None or self._certain

    def doubt(self) -> None:
        """Redis may be another than it was, and have forgotten something: look at once."""
        self._renewed = -math.inf

    def piece(self, now: float) -> Piece | None:
        """What comes next; None when there is nothing, and the lease holds."""
        renews = now - self._renewed >= (_EARLY * RENEW_S if self.log.finished is None else CERTAIN_S)
        if self.log.finished is not None and now - self._ended >= self._retention.ended_s:
            # It is not kept any more, and rightly so.
            self._certain = True
            return None
        # The lease does not wait for room.
        events = [] if self._refusals.resting(now) else self._following()
        if not events and not renews:
            return None
        first, last = self._next, self._next + len(events) - 1
        final = bool(events) and isinstance(events[-1][1], Finished)
        batch = encode_batch(first, events) if events else b""
        return Piece(first, last, batch, renews, final, self._oldest())

    def acknowledge(self, piece: Piece, top: int, now: float) -> bool:
        """Redis has it, and everything up to `top`; whether there is more to carry."""
        if piece.renews or piece.final:
            self._renewed = now
        if piece.batch:
            self._refusals.taken()
        if top < piece.last:
            # Only one who says nothing finds it so; whoever says something is told of the gap.
            self.go_on_from(top)
        else:
            self._advance(top)
            self._note_end(piece, now)
        return bool(self._ahead) or self._next <= self.log.head

    def _note_end(self, piece: Piece, now: float) -> None:
        if piece.final:
            self._ended = now
        elif self.log.finished is not None and not piece.batch:
            self._certain = now - self._ended >= CERTAIN_S

    def go_on_from(self, top: int) -> None:
        """Redis is somewhere else than this took it to be."""
        top = min(top, self.written[0])
        if top < self.log.trimmed:
            # What would come next is not kept here either.
            self.lose("fenced")
            return
        self._advance(top)
        self._next = top + 1

    def refuse(self, fault: RealtimeError, now: float) -> None:
        """Redis does not take it. When it stays full the provider is given up, and what was not taken with it."""
        self._refusals.note(fault, now)
        if not self._refusals.full:
            return
        if self._room is not None and not self._room.done():
            self._room.set_exception(RealtimeError("bus_full"))
        sealed = self._sealed
        if sealed is not None and not sealed.done() and len(self._ahead) > 1:
            # An end by itself is let in, and this one may not say that all was said.
            self._drop_ahead()
            self._sealed = None
            sealed.set_exception(RealtimeError("bus_full"))

    def _drop_ahead(self) -> None:
        self._ahead.clear()
        self.ahead_bytes = 0
        self._phase, self._bytes = self.log.phase, self.log.payload_bytes

    def lose(self, how: SealResult) -> None:
        """Another has ended the log, or writes it now."""
        if self.lost is not None:
            return
        self.lost = how
        self.adrift = self.adrift or self.log.finished is not None
        self._ahead.clear()
        self.ahead_bytes = 0
        self._release_room()
        if self._sealed is not None and not self._sealed.done():
            self._sealed.set_result(how)
        if self._on_lost is not None:
            self._on_lost()

    def _advance(self, top: int) -> None:
        """Show what Redis has."""
        log, ahead = self.log, self._ahead
        moved = log.head < top and bool(ahead)
        while log.head < top and ahead:
            at, event, size = ahead.popleft()
            self.ahead_bytes -= size
            log.append(event, at, more=True)
        self._next = max(self._next, top + 1)
        if moved:
            self._trim()
            log.show()
        if log.finished is not None and self._sealed is not None and not self._sealed.done():
            self._sealed.set_result("won")
        if self.ahead_bytes <= _MOST_AHEAD_BYTES // 2 and not self._behind():
            self._release_room()

    def _following(self) -> list[tuple[int, AnyEvent]]:
        """What Redis is to have next: of the log where it has lost some of it, else of what is ahead."""
        behind = self.log.head - self._next + 1
        if behind > 0:
            entries = self.log.since(self._next - 1)[:_BATCH_EVENTS]
            return [(entry.at, entry.event) for entry in entries]
        events, size = [], 0
        for at, event, bytes_ in self._ahead:
            events.append((at, event))
            size += bytes_
            if len(events) == _BATCH_EVENTS or size >= _BATCH_BYTES:
                break
        return events

    def _refuse_when_full(self, head: int, size: int) -> None:
        if self._refusals.full:
            raise RealtimeError("bus_full")
        if self.log.meta.retain == "window":
            return
        limit = self._retention.log_limit_bytes
        if self._bytes + size > limit:
            raise RealtimeError("log_limit", f"The generation passed {limit} bytes.", limit=limit)
        if head >= MAX_EVENTS:
            raise RealtimeError("log_limit", f"The generation passed {MAX_EVENTS} events.", limit=MAX_EVENTS)

    # A windowed log.

    def _behind(self) -> bool:
        """Whether a reader of a windowed log is so far behind that the provider is to wait."""
        if self.log.meta.retain == "all":
            return False
        behind = self.log.head - self.log.slowest
        return behind > self._retention.window_events

    def _trim(self) -> None:
        if self.log.meta.retain == "window":
            self.log.trim(min(self.log.head - self._retention.window_events, self.log.slowest))

    def _oldest(self) -> int | None:
        return self.log.trimmed + 1 if self.log.meta.retain == "window" and self.log.trimmed else None

    def _release_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)


def epoch_of(fence: int) -> str:
    """How a fence is written in cursors."""
    return encode_epoch(fence)
