"""Makes logs and entries for tests of the core."""

import asyncio
from collections.abc import Sequence

from realtime.events import AnyEvent, Attempt, Entry, Finished, Started, Text
from realtime.log import EventLog, Meta, Retain

GENERATION = "0123456789abcdef0123456789abcdef"
STARTED = Started(GENERATION, "demo/default", 0)
ATTEMPT = Attempt(1, "demo", "default")
DONE = Finished("completed", "stop")


def make_meta(generation: str = GENERATION, *, retain: Retain = "all", conversation: str | None = None) -> Meta:
    """What a log is of, for the anonymous principal."""
    return Meta(generation, "default", None, "demo", "demo/default", 0, conversation=conversation, retain=retain)


def make_log(events: Sequence[AnyEvent] = (), *, limit_bytes: int | None = 2**20, retain: Retain = "all") -> EventLog:
    """A log of epoch `e` that holds `started`, `attempt` and then `events`, a millisecond apart."""
    log = EventLog(make_meta(retain=retain), "e", limit_bytes=limit_bytes)
    for at, event in enumerate((STARTED, ATTEMPT, *events)):
        log.append(event, at)
    return log


class CountingCodec:
    """A codec that shows what was encoded and joined."""

    def __init__(self) -> None:
        self.framed: list[int] = []
        self.joined = 0

    def frame(self, epoch: str, entry: Entry, /) -> bytes:
        self.framed.append(entry.seq)
        text = entry.event.text if isinstance(entry.event, Text) else type(entry.event).__name__
        return f"[{epoch}{entry.seq} {text}]".encode()

    def join(self, generation: str, frames: Sequence[bytes], /) -> bytes:
        self.joined += 1
        return b"".join(frames)


class Reader:
    """One who is asked to leave."""

    def __init__(self) -> None:
        self.woken = asyncio.Event()

    def wake(self, _nudge: str, /) -> None:
        """See `Nudged`."""
        self.woken.set()
