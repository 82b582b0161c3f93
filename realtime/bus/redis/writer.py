"""The one hand that writes a log in Redis: what it is given is visible once Redis has it, here like anywhere.

It keeps what it has handed over and Redis has not acknowledged, and the log itself is the rest of what it has ever
written. So wherever Redis turns out to be (an answer was lost, a failover has forgotten the last second, all of it is
gone), it goes on from there, and the answer that tells where is the only thing it believes. An end may be forgotten
like anything else, so a log that has ended is looked at once more.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

from realtime.bus.base import SealResult
from realtime.bus.retention import Retention, window_of
from realtime.bus.stoppable import Stoppable
from realtime.cursor import encode_epoch
from realtime.errors import RealtimeError
from realtime.events import AnyEvent, Finished, StoppedBy
from realtime.log import EventLog

from .ahead import Ahead
from .batches import encode_batch
from .keys import log_keys
from .lease import Lease
from .refusals import Refusals

_logger = logging.getLogger("realtime")

# What a generation may be ahead of Redis, before its provider is read no further.
_MOST_AHEAD_BYTES = 1 << 20
# How long an end waits for a Redis that does not answer: longer than a restart takes, or a failover.
SEAL_S = 120.0


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
        oldest: Number of the first event that a windowed log still keeps.
    """

    first: int
    last: int
    batch: bytes
    renews: bool
    final: bool
    oldest: int | None


class RedisWriter(Stoppable):
    """See `Writer`.

    Args:
        log: As far as Redis has it.
        fence: This writer's epoch; a greater one is another's, and ends this.
        born: Monotonic time of the log's beginning.
        token: Tells a repeated creation from a second one.

    Attributes:
        adrift: What is shown of the log here is not what the log of record is, or will not become it: whoever reads it
            here is to come again.
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
        super().__init__(log)
        self.fence = fence
        self.token = token
        self.keys = log_keys(log.meta.tenant, log.meta.generation)
        self.lost: SealResult | None = None
        self.adrift = False
        self._flusher = flusher
        self._window = window_of(log, retention)
        self._ahead = Ahead(log, born, retention.log_limit_bytes if self._window is None else None)
        self._next = log.head + 1
        self._lease = Lease(retention.ended_s)
        self._refusals = Refusals()
        self._room: asyncio.Future[None] | None = None
        self._sealed: asyncio.Future[SealResult] | None = None
        self._on_lost: Callable[[], None] | None = None
        if stop is not None:
            self.request_stop(stop)

    def __repr__(self) -> str:
        return f"<RedisWriter {self.log!r} ahead={len(self._ahead)}>"

    # For the session.

    @property
    def written(self) -> tuple[int, int]:
        return self._ahead.written

    def on_lost(self, callback: Callable[[], None]) -> None:
        self._on_lost = callback
        if self.lost is not None:
            callback()

    def append(self, event: AnyEvent, *, more: bool = False) -> int:
        seq = self._ahead.append(event, refuse=self._refusals.full)
        if not more:
            self._flusher.dirty(self)
        return seq

    def show(self) -> None:
        self._flusher.dirty(self)

    def room(self) -> Awaitable[None] | None:
        if self.ahead_bytes > _MOST_AHEAD_BYTES:
            if self._room is None or self._room.done():
                self._room = asyncio.get_running_loop().create_future()
            return self._room
        window = self._window
        return window.wait() if window is not None and window.is_full else None

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

    @property
    def ahead_bytes(self) -> int:
        """Payload of what was handed over and Redis has not acknowledged."""
        return self._ahead.payload_bytes

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
        return self.lost is not None or self._lease.settled

    def doubt(self) -> None:
        """Redis may be another than it was, and have forgotten something: look at once."""
        self._lease.doubt()

    def piece(self, now: float) -> Piece | None:
        """What comes next; None when there is nothing, and the lease holds."""
        renews = self._lease.due(now)
        if self.lost is not None or self._lease.settled:
            return None
        # The lease does not wait for room.
        events = [] if self._refusals.resting(now) else self._following()
        if not events and not renews:
            return None
        first, last = self._next, self._next + len(events) - 1
        final = bool(events) and isinstance(events[-1][1], Finished)
        batch = encode_batch(first, events) if events else b""
        oldest = self.log.trimmed + 1 if self._window is not None and self.log.trimmed else None
        return Piece(first, last, batch, renews, final, oldest)

    def _following(self) -> Sequence[tuple[int, AnyEvent]]:
        """What Redis is to have next: of the log where it has lost some of it, else of what is ahead."""
        return self._ahead.again(self._next - 1) if self._next <= self.log.head else self._ahead.batch()

    def acknowledge(self, piece: Piece, top: int, now: float) -> bool:
        """Redis has it, and everything up to `top`; whether there is more to carry."""
        if piece.renews:
            self._lease.renew(now)
        if piece.batch:
            self._refusals.taken()
        if top < piece.last:
            # Only one who says nothing finds it so; whoever says something is told of the gap.
            self.go_on_from(top)
        else:
            self._advance(top)
            if piece.final:
                self._lease.end(now)
            elif not piece.batch:
                self._lease.still_ended(now)
        return bool(self._ahead) or self._next <= self.log.head

    def go_on_from(self, top: int) -> None:
        """Redis is somewhere else than this took it to be."""
        top = min(top, self.written[0])
        if top < self.log.trimmed:
            # What would come next is not kept here either.
            self.lose("fenced")
            return
        self._advance(top)
        self._next = top + 1

    def _advance(self, top: int) -> None:
        """Show what Redis has."""
        log = self.log
        self._next = max(self._next, top + 1)
        if self._ahead.move(top):
            if self._window is not None:
                self._window.trim()
            log.show()
            self._note_end()
        if self._room is not None and self.ahead_bytes <= _MOST_AHEAD_BYTES // 2:
            self._release_room()

    def _note_end(self) -> None:
        if self.log.finished is None:
            return
        self._lease.end(time.monotonic())
        if self._sealed is not None and not self._sealed.done():
            self._sealed.set_result("won")

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
            self._ahead.take_back()
            self._sealed = None
            sealed.set_exception(RealtimeError("bus_full"))

    def lose(self, how: SealResult) -> None:
        """Another has ended the log, or writes it now."""
        if self.lost is not None:
            return
        self.lost = how
        self.adrift = self.adrift or self.log.finished is not None
        self._ahead.clear()
        self._release_room()
        if self._sealed is not None and not self._sealed.done():
            self._sealed.set_result(how)
        if self._on_lost is not None:
            self._on_lost()

    def _release_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)


def epoch_of(fence: int) -> str:
    """How a fence is written in cursors."""
    return encode_epoch(fence)
