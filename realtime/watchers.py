"""Telling everyone who watches a log that it moved.

A few are told at once, for to come back to them later costs more than to tell them; but not again within a millisecond,
so that what comes in a flood leaves in few writes. Many are told once a turn of the loop, in batches, so that a
thousand observers of one generation do not hold up the rest; and, where telling everyone takes long, not all the time:
what comes meanwhile goes with the next round, in one write instead of several. Under overload that makes writes larger,
not queues longer.
"""

import asyncio
from typing import Protocol

# A turn of the loop costs about two deliveries; nobody else should wait for longer than a millisecond.
_BATCH = 128
# So few take no time that is worth a look at the clock, or another turn of the loop.
_FEW = 8
# What moves again within this time does so in a flood.
_FLOOD_S = 0.001
# A round that takes longer than this takes at most this share of the time, and is at most this late.
_LONG_S = 0.001
_SHARE = 0.25
_MOST_LATE_S = 0.020


class Watcher(Protocol):
    """Who wants to know."""

    def moved(self) -> None:
        """The log has grown, or is finished. Must not raise."""
        ...


class Watchers:
    """Those who watch one log."""

    __slots__ = ("_again", "_began_s", "_few", "_lasted_s", "_loop", "_round", "_telling", "_told", "_watching")

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watching: dict[Watcher, None] = {}
        # All of them, while they are few: nothing to look up or to copy for each event.
        self._few: tuple[Watcher, ...] = ()
        self._telling = self._again = False
        self._round: list[Watcher] = []
        self._told = 0
        self._began_s = self._lasted_s = 0.0

    def add(self, watcher: Watcher) -> None:
        """Tell `watcher` from now on."""
        self._loop = self._loop or asyncio.get_running_loop()
        self._watching[watcher] = None
        self._note_few()

    def remove(self, watcher: Watcher) -> None:
        """Tell `watcher` no more; harmless when it is not told."""
        self._watching.pop(watcher, None)
        self._note_few()

    def _note_few(self) -> None:
        self._few = tuple(self._watching) if len(self._watching) <= _FEW else ()

    def tell(self) -> None:
        """Tell everyone, now or soon."""
        if self._telling:
            self._again = True
        elif self._few or self._watching:
            loop = self._loop
            assert loop is not None
            self._telling = True
            now = loop.time()
            if self._few and now - self._began_s >= _FLOOD_S:
                self._tell_few(now)
            else:
                self._schedule(loop, now)

    def _schedule(self, loop: asyncio.AbstractEventLoop, now: float) -> None:
        if self._lasted_s > _LONG_S:
            pause_s = self._began_s + min(self._lasted_s / _SHARE, _MOST_LATE_S) - now
            if pause_s > 0:
                loop.call_later(pause_s, self._begin, loop)
                return
        loop.call_soon(self._begin, loop)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        if len(self._watching) <= _FEW:
            self._tell_few(now)
        else:
            self._again = False
            self._began_s = now
            self._round, self._told = list(self._watching), 0
            self._tell_batch(loop)

    def _tell_few(self, now: float) -> None:
        self._again = False
        self._began_s = now
        for watcher in self._few:
            watcher.moved()
        self._lasted_s = 0.0
        self._end()

    def _tell_batch(self, loop: asyncio.AbstractEventLoop) -> None:
        upto = self._told + _BATCH
        for watcher in self._round[self._told : upto]:
            # One who has left since may be told once more: to be told is to look, and there is nothing for it to see.
            watcher.moved()
        self._told = upto
        if upto < len(self._round):
            loop.call_soon(self._tell_batch, loop)
        else:
            self._round = []
            self._lasted_s = loop.time() - self._began_s
            self._end()

    def _end(self) -> None:
        self._telling = False
        if self._again:
            self.tell()


class Waiter:
    """A watcher that wakes one who awaits. Each has a future of its own: on CPython cancelling one waiter of a shared
    future cancels them all."""

    __slots__ = ("future",)

    def __init__(self) -> None:
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def moved(self) -> None:
        """See `Watcher`."""
        if not self.future.done():
            self.future.set_result(None)
