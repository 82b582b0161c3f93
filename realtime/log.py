"""The events of one generation: append-only, numbered, sealed by its one terminal event.

One log, many cursors. An observer is this log and a number; joining late, resuming after a drop and being slow are the
same act: take what is past the number as a slice, send it, wait past it. There is no queue per observer, so there
is no drop policy, no hand-over between history and live, and nothing an observer can do that grows this process.
"""

import asyncio
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec

from .branches import Branches
from .cursor import Cursor
from .errors import RealtimeError
from .events import FOLLOWS, PHASES, AnyEvent, Entry, Finished, Phase, Started, State
from .frames import Codec, Envelope, Frames
from .warm import Warm
from .watchers import Waiter, Watcher, Watchers

# 128 thousand tokens is the longest answer of today's models; a log of twice as many events is a runaway.
MAX_EVENTS = 2**18
# What an event costs beside its payload and its frames: two structs, a string head and two list slots.
_ENTRY_BYTES = 200
# A window is cut in strides, so that a million appends do not shift a list a million times.
_TRIM_STRIDE = 256

Retain = Literal["all", "window"]


@runtime_checkable
class Nudged(Protocol):
    """A reader that can be asked for something."""

    def wake(self, nudge: Literal["bye"], /) -> None:
        """Leave, and come again."""
        ...


class Meta(msgspec.Struct, frozen=True):
    """Who and what a log belongs to; never on the wire as such.

    Attributes:
        generation: 128 random bits, 32 hex digits.
        subject: The owner within the tenant; None for one who owns all of the tenant's.
        provider: Alias of the provider it was started with; `model` is the whole `<alias>/<model>`.
        retain: `all` keeps every event; `window` keeps what attached observers still need and a little more.
    """

    generation: str
    tenant: str
    subject: str | None
    provider: str
    model: str
    created_ms: int
    conversation: str | None = None
    metadata: dict[str, Any] | None = None
    retain: Retain = "all"


def started(meta: Meta) -> Started:
    """The first event of such a log."""
    return Started(meta.generation, meta.model, meta.created_ms, meta.conversation, meta.metadata)


def beyond_limit(limit: int, payload: int) -> RealtimeError:
    """What an append is refused with, to a log that would have so much payload, or else has `MAX_EVENTS` events."""
    if payload > limit:
        return RealtimeError("log_limit", f"The generation passed {limit} bytes.", limit=limit)
    return RealtimeError("log_limit", f"The generation passed {MAX_EVENTS} events.", limit=MAX_EVENTS)


class EventLog:
    """The log of one generation, as this process holds it.

    Reading is free of locks and of waiting but for `wait`; writing is the business of a bus's Writer alone.

    Args:
        meta: What the log is of.
        epoch: The first one, already encoded.
        limit_bytes: Payload after which `append` refuses; None for a windowed log, which cannot outgrow its window.
        warm: Where it may keep its frames once it has ended and nobody reads it; else it keeps none.

    Attributes:
        branches: Which epoch wrote what.
        head: Number of the last event; 0 when there is none.
        trimmed: Number of the last event that was let go; 0 while the log is whole.
        finished: The terminal event, once it is there.
        payload_bytes: Of what is kept.
        appended_bytes: Of everything that was ever appended.
        on_presence: Told when readers come and go: how many there are, and whether this was an observer. Presence is
            not an event.
        derived: What transports made of the log and share; let go with its last reader.
    """

    __slots__ = (
        "_ends", "_entries", "_frames", "_limit_bytes", "_phase", "_readers", "_room", "_warm", "_watchers",
        "appended_bytes", "branches", "derived", "finished", "head", "meta", "on_presence", "payload_bytes", "stopping",
        "trimmed",
    )  # fmt: skip

    def __init__(self, meta: Meta, epoch: str, *, limit_bytes: int | None, warm: Warm | None = None) -> None:
        self.meta = meta
        self.branches = Branches(epoch)
        self.finished: Finished | None = None
        self.stopping = False
        self.head = self.trimmed = 0
        self.payload_bytes = 0
        self.appended_bytes = 0
        self.on_presence: Callable[[int, bool], None] | None = None
        self.derived: dict[str, Any] = {}
        self._limit_bytes = limit_bytes
        self._warm = warm
        self._phase: Phase = "new"
        self._entries: list[Entry] = []
        # What `appended_bytes` was after each of them.
        self._ends = array("Q")
        self._frames: dict[Codec, Frames] = {}
        self._watchers = Watchers()
        self._readers: dict[object, int | None] = {}
        self._room: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return (
            f"<EventLog {self.meta.generation} {self.state} {self.trimmed}..{self.head} readers={len(self._readers)}>"
        )

    # What it holds.

    @property
    def epoch(self) -> str:
        """The newest one."""
        return self.branches.epoch

    @property
    def cursor(self) -> str:
        """The place of one who has it all."""
        return self.cursor_at(self.head)

    def cursor_at(self, seq: int) -> str:
        """The place of one who has everything up to that number."""
        return f"{self.branches.at(seq)}-{seq}"

    @property
    def phase(self) -> Phase:
        """What may follow depends on it."""
        return self._phase

    @property
    def state(self) -> State:
        if self.finished is not None:
            return "finished"
        if self.stopping:
            return "stopping"
        if self._phase == "content":
            return "streaming"
        return "starting" if self._phase == "attempt" else "queued"

    @property
    def observers(self) -> int:
        """Observers attached to it in this process."""
        return len(self._readers)

    @property
    def memory_bytes(self) -> int:
        """Estimate of what the log takes: its payload once as text and once for each codec that framed it."""
        return self._copy_bytes + self.frames_bytes

    @property
    def frames_bytes(self) -> int:
        """Estimate of what its frames take."""
        return self._copy_bytes * len(self._frames)

    @property
    def _copy_bytes(self) -> int:
        return self.payload_bytes + len(self._entries) * _ENTRY_BYTES

    def since(self, seq: int) -> Sequence[Entry]:
        """Every retained entry after `seq`, in order."""
        return self._entries[max(seq - self.trimmed, 0) :]

    def fitting(self, after: int, most_bytes: int, frame_bytes: int) -> int:
        """Number of the last event such that all after `after` up to it fit; at least one, if there is one.

        Args:
            frame_bytes: What an event's frame takes beside its payload.
        """
        first, ends = max(after - self.trimmed, 0), self._ends
        most = self._bytes_before(first) + first * frame_bytes + most_bytes
        # A search and no sum: one who joins late would pay for each event of the log.
        fits = bisect_right(range(len(ends)), most, first, key=lambda index: ends[index] + (index + 1) * frame_bytes)
        return min(max(self.trimmed + fits, after + 1), self.head)

    def _bytes_before(self, index: int) -> int:
        """Payload of everything that was ever appended before that entry."""
        return self._ends[index - 1] if index else self.appended_bytes - self.payload_bytes

    def holds(self, cursor: Cursor) -> Literal["branch", "trimmed"] | None:
        """Say why nothing can be continued from `cursor`, or None when everything after it is here."""
        if cursor.seq > self.head or cursor.epoch != self.branches.at(cursor.seq):
            return "branch"
        return "trimmed" if cursor.seq < self.trimmed else None

    def slice(self, codec: Codec, after: int, upto: int | None = None, envelope: Envelope | None = None) -> bytes:
        """Everything past `after` (up to `upto`), in its envelope if there is one.

        Each event is encoded once per codec, when the first observer of that codec asks, and a slice that a thousand
        observers want at once is made once.
        """
        trimmed, head = self.trimmed, self.head
        after = max(after, trimmed)
        if upto is None or upto > head:
            upto = head
        frames = self._frames.get(codec)
        if frames is None:
            frames = self._frames[codec] = Frames(codec, self.meta.generation, self.branches, after)
        return frames.slice(self._entries, trimmed, after, upto, envelope)

    # Who reads it.

    def attach(self, reader: object, seq: int | None) -> None:
        """Count `reader` as present.

        Args:
            seq: What it has; None for one whom a windowed writer does not wait for, because it takes no events, or
                takes them at its own pace.
        """
        self._readers[reader] = seq
        if self._warm is not None:
            self._warm.discard(self)
        self._tell_presence(observed=seq is not None)

    def moved(self, reader: object, seq: int | None) -> None:
        """Note how far `reader` is, or with None that nobody need wait for it; for the writer of a windowed log."""
        if self._readers.get(reader) is not None:
            self._readers[reader] = seq
            self._wake_room()

    def detach(self, reader: object, *, gone: bool = True) -> None:
        """Stop counting `reader`; harmless when it is not attached.

        Args:
            gone: Whether somebody has left, who may be missed; not one who only asked how far it is.
        """
        if reader not in self._readers:
            return
        del self._readers[reader]
        if self.finished is not None:
            self._rest_when_unread()
        self._wake_room()
        self._tell_presence(observed=gone)

    def _tell_presence(self, *, observed: bool) -> None:
        if self.on_presence is not None:
            self.on_presence(len(self._readers), observed)

    def _rest_when_unread(self) -> None:
        """An ended log that nobody watches keeps its events, and of what was made of them at most its frames."""
        if self._readers:
            return
        self.derived.clear()
        if self._warm is None:
            self.cool()
        elif self._frames:
            self._warm.add(self)

    def cool(self) -> None:
        """See `Coolable`."""
        self._frames.clear()

    def retire(self) -> None:
        """No bus keeps it any more; who still reads it may go on."""
        if self._warm is not None:
            self._warm.discard(self)
            self._warm = None

    @property
    def slowest(self) -> int:
        """The number up to which every reader that is waited for has everything; the head when there is none."""
        return min((seq for seq in self._readers.values() if seq is not None), default=self.head)

    def watch(self, watcher: Watcher) -> None:
        """Tell `watcher` soon after each append, and after the end."""
        self._watchers.add(watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """Tell `watcher` no more."""
        self._watchers.remove(watcher)

    async def wait(self, after: int) -> None:
        """Return when the log reaches past `after`, or is finished."""
        if self.head > after or self.finished is not None:
            return
        waiter = Waiter()
        self.watch(waiter)
        try:
            await waiter.future
        finally:
            self.unwatch(waiter)

    async def wait_moved(self) -> None:
        """Return when a reader has moved or left; for the one writer of a windowed log."""
        self._room = asyncio.get_running_loop().create_future()
        await self._room

    def _wake_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    # Who writes it, or copies what another process writes.

    def begin_at(self, first: int) -> None:
        """Of a copy with nothing in it: what comes before that number is no longer kept."""
        self.head = self.trimmed = first - 1
        # Which whatever is not the first event may follow.
        self._phase = "attempt"

    def send_away(self) -> None:
        """Ask every observer to come again: this copy is not what the log is."""
        for reader in tuple(self._readers):
            if isinstance(reader, Nudged):
                reader.wake("bye")

    def append(self, event: AnyEvent, at: int, *, more: bool = False) -> int:
        """Add the next event and tell whoever watches.

        Args:
            more: Others follow at once, and then `show`: what came together is told, and sent, together.

        Returns:
            Its number.

        Raises:
            ValueError: `event` may not follow what the log holds.
            RealtimeError: `log_limit`.
        """
        phase = PHASES[type(event)]
        if phase not in FOLLOWS[self._phase]:
            raise ValueError(f"{type(event).__name__} may not follow {self._phase!r} in {self!r}")
        size = event.size()
        payload = self.payload_bytes + size
        limit = self._limit_bytes
        if limit is not None and (payload > limit or self.head >= MAX_EVENTS) and phase == "content":
            raise beyond_limit(limit, payload)
        self.payload_bytes = payload
        self.appended_bytes = appended = self.appended_bytes + size
        self._phase = phase
        self.head = seq = self.head + 1
        self._entries.append(Entry(seq, at, event))
        self._ends.append(appended)
        if isinstance(event, Finished):
            self.finished = event
            self._rest_when_unread()
        if not more:
            self._watchers.tell()
        return seq

    def show(self) -> None:
        """Tell whoever watches of what was appended with more to follow."""
        self._watchers.tell()

    def trim(self, seq: int) -> None:
        """Let go of everything up to `seq`, and of its frames, once it is worth the shifting."""
        count = min(seq, self.head) - self.trimmed
        if count >= _TRIM_STRIDE:
            self._cut(count)

    def trim_bytes(self, most_bytes: int, upto: int) -> None:
        """Let go of the oldest events until the payload fits, but of none after `upto`."""
        # The first entry after which no more than that has been appended.
        count = bisect_left(self._ends, self.appended_bytes - most_bytes) + 1 if self.payload_bytes > most_bytes else 0
        self._cut(max(min(count, upto - self.trimmed), 0))

    def _cut(self, count: int) -> None:
        self.payload_bytes = self.appended_bytes - self._bytes_before(count)
        del self._entries[:count], self._ends[:count]
        self.trimmed += count
        for frames in self._frames.values():
            frames.trim(self.trimmed)
