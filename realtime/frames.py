"""A log's events as one wire writes them: each encoded once, and what many want at once made once.

The frames live with the log because their life is the log's; what is in them is the codec's, and what a connection puts
around a slice is the envelope's.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from .branches import Branches
from .events import Entry

Envelope = Callable[[bytes], bytes]
"""What a connection puts around a slice: an HTTP chunk's length, a WebSocket frame's head. Of nothing it makes nothing;
and it is one function for all connections of a kind, so that they share what it makes."""


class Codec(Protocol):
    """How one wire writes events. The bytes of an event may depend on the event alone."""

    def frame(self, epoch: str, entry: Entry, /) -> bytes:
        """Encode one event."""
        ...

    def join(self, generation: str, frames: Sequence[bytes], /) -> bytes:
        """Make one slice of several frames."""
        ...


class Frames:
    """One codec's frames for a contiguous run of a log, and the slice that was asked for last.

    Args:
        start: Number of the event before the first one here.
    """

    __slots__ = (
        "_after",
        "_branches",
        "_codec",
        "_envelope",
        "_enveloped",
        "_frames",
        "_generation",
        "_joined",
        "_start",
        "_upto",
    )

    def __init__(self, codec: Codec, generation: str, branches: Branches, start: int) -> None:
        self._codec = codec
        self._generation = generation
        self._branches = branches
        self._start = start
        self._frames: list[bytes] = []
        self._after = self._upto = -1
        self._joined = b""
        self._envelope: Envelope | None = None
        self._enveloped = b""

    def slice(self, entries: Sequence[Entry], base: int, after: int, upto: int, envelope: Envelope | None) -> bytes:
        """The events past `after`, up to `upto`, as one piece.

        Args:
            entries: All of the log's.
            base: Number of the event before the first of them.
        """
        if upto != self._upto or after != self._after:
            self._joined = self._join(entries, base, after, upto)
            self._after, self._upto, self._envelope = after, upto, None
        if envelope is None:
            return self._joined
        if envelope is not self._envelope:
            # Of the last kind only: those who read one codec nearly all have one kind of connection.
            self._enveloped, self._envelope = envelope(self._joined), envelope
        return self._enveloped

    def _join(self, entries: Sequence[Entry], base: int, after: int, upto: int) -> bytes:
        frame, branches, frames = self._codec.frame, self._branches, self._frames
        if upto == after + 1 and after == self._start + len(frames) and after >= branches.since:
            # What nearly always happens: the newest event, for the first who asks.
            newest = frame(branches.epoch, entries[after - base])
            frames.append(newest)
            return self._codec.join(self._generation, (newest,))
        epoch = branches.at
        if after < self._start:
            frames[:0] = [frame(epoch(entry.seq), entry) for entry in entries[after - base : self._start - base]]
            self._start = after
        done = self._start + len(frames)
        if done < upto:
            frames.extend([frame(epoch(entry.seq), entry) for entry in entries[done - base : upto - base]])
        return self._codec.join(self._generation, frames[after - self._start : upto - self._start])

    def trim(self, base: int) -> None:
        """Let go of the frames up to `base`."""
        del self._frames[: max(base - self._start, 0)]
        self._start = max(self._start, base)
        self._after = self._upto = -1
        self._joined = self._enveloped = b""
        self._envelope = None
