"""Carries what writers have to say whose logs are in one place, in one round trip after the other.

The first event of a quiet time goes at once. While a round trip is under way, and a moment beyond, whatever comes is
gathered: a hundred generations of fifty tokens a second are a few hundred round trips, and not five thousand.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from realtime.bus.retention import Retention
from realtime.errors import RealtimeError

from .answers import PASSING, refused
from .batches import encode_meta
from .connections import Call, Connections
from .keys import LogKeys, log_keys
from .lease import LEASE_S
from .lines import Parts, parts_of
from .messages import stopped_by
from .scripts import APPEND, APPEND_THOUGH_FULL, RESTORE
from .writer import Piece, RedisWriter

_logger = logging.getLogger("realtime")

# What goes in one round trip, and how many of these are under way at a time: while Redis does the one, this process
# sees to what has come of the other. With one for everything each would wait for the other half of the time.
_GROUP, _AT_ONCE = 64, 2
# From the beginning of one round trip to that of the next: what a token may wait for others. Where so many have
# something to say each time, a round trip itself is a tenth of what they cost, and there are half as many.
_GATHER_S, _GATHER_MANY_S, _MANY = 0.0025, 0.005, 32
# After a failure, each one longer; and of one writer, whose keys are on their way elsewhere.
_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0
# How often every writer is asked whether its lease is due, however much some of them say: one that says nothing has a
# lease too, and hears of a stop with its renewal where no message arrives.
_ROUND_S = 0.25
# What is told whole; of a larger batch the listeners are told that it is there.
_TOLD_BYTES = 16 * 1024
# A log that is not renewed for so long belongs to a process, and a deployment, that is gone.
LIFE_S = 3600.0
# Logs that have ended and may yet be forgotten; beyond so many the oldest are taken to be safe.
_MOST_ENDED = 1000


class _Carried(NamedTuple):
    """A piece on its way, and how it is said."""

    writer: RedisWriter
    piece: Piece
    call: Call


class RedisFlusher:
    """See the module; runs from construction to `close`.

    Args:
        lost: Called with a writer as soon as another turns out to have its log.
    """

    def __init__(self, connections: Connections, retention: Retention, lost: Callable[[RedisWriter], None]) -> None:
        self.reachable = True
        self._connections = connections
        self._metrics = connections.metrics
        self.retention = retention
        self._lost = lost
        # In the order of their creation, each with what all its appends have in common.
        self._writers: dict[RedisWriter, tuple[Parts, Parts]] = {}
        self._dirty: set[RedisWriter] = set()
        self._round_at = 0.0
        self._wake = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="redis flusher")

    @property
    def buffered_bytes(self) -> int:
        """Payload of all that Redis has not acknowledged."""
        return sum(writer.ahead_bytes for writer in self._writers)

    @property
    def writers(self) -> list[RedisWriter]:
        """Those it carries for."""
        return list(self._writers)

    def add(self, writer: RedisWriter) -> None:
        """Carry this one too, and renew its lease."""
        keys = writer.keys
        self._writers[writer] = parts_of(keys.log, keys.meta, keys.leases), self._rest(writer)
        writer.carried_by(self)
        self.dirty(writer)

    def let_go(self, writer: RedisWriter) -> None:
        """Carry it no longer."""
        self._writers.pop(writer, None)

    def dirty(self, writer: RedisWriter) -> None:
        """See `Flusher`."""
        self._dirty.add(writer)
        self._wake.set()

    def look_again(self) -> None:
        """Redis may have forgotten something, and be it an end, of which nothing more is said: ask for every log."""
        for writer in self._writers:
            writer.doubt()
        self._dirty.update(self._writers)
        self._wake.set()

    async def close(self) -> None:
        """Carry no more."""
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _run(self) -> None:
        pause_s = _PAUSE_S
        while True:
            began = time.monotonic()
            if began >= self._round_at:
                self._go_round(began)
            try:
                carried = await self._flush(began)
            except RealtimeError:
                # Nothing is lost: what was not acknowledged is still there, and is said again.
                self.reachable = False
                await asyncio.sleep(random.uniform(pause_s / 2, pause_s))  # noqa: S311
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                continue
            if not self.reachable:
                self.look_again()
            self.reachable, pause_s = True, _PAUSE_S
            gather_s = _GATHER_S if carried < _MANY else _GATHER_MANY_S
            await asyncio.sleep(max(0.0, began + gather_s - time.monotonic()))
            if not self._dirty:
                self._wake.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, self._round_at - time.monotonic())):
                        await self._wake.wait()

    def _go_round(self, now: float) -> None:
        """Let go of what is done, and ask the others, however much some of them have to say."""
        self._round_at = now + _ROUND_S
        carried = [writer for writer in self._writers if not writer.done]
        safe = set([writer for writer in carried if writer.over][:-_MOST_ENDED])
        self._writers = {writer: self._writers[writer] for writer in carried if writer not in safe}
        self._dirty.update(self._writers)

    async def _flush(self, now: float) -> int:
        """Carry what there is; how many pieces. Raises RealtimeError when an answer was not had."""
        dirty, self._dirty = self._dirty, set()
        writers = self._writers
        pieces = [(writer, piece) for writer in dirty if writer in writers and (piece := writer.piece(now))]
        # Now, and not when it is their turn: whoever is carried by another by then is not known here any more.
        carried = [_Carried(writer, piece, self._call(writer, piece)) for writer, piece in pieces]
        if len(carried) <= _GROUP:
            if carried:
                await self._trip(carried, now)
            return len(carried)
        turns = asyncio.Semaphore(_AT_ONCE)

        async def trip(group: list[_Carried]) -> None:
            async with turns:
                await self._trip(group, now)

        groups = (trip(carried[at : at + _GROUP]) for at in range(0, len(carried), _GROUP))
        # All of them to their ends: nobody may have two pieces under way.
        for outcome in await asyncio.gather(*groups, return_exceptions=True):
            if outcome is not None:
                raise outcome
        return len(carried)

    async def _trip(self, carried: list[_Carried], now: float) -> None:
        """One round trip; raises RealtimeError when its answer was not had."""
        began = time.monotonic()
        try:
            answers = await self._connections.run_all(call for _, _, call in carried)
            self._metrics.flush_s.observe(time.monotonic() - began)
            taken = 0
            for (writer, piece, _), answer in zip(carried, answers, strict=True):
                if type(answer) is int:
                    taken += piece.last - piece.first + 1
                    self._acknowledge(writer, piece, answer, now)
                else:
                    await self._settle(writer, piece, answer, now)
                if writer.lost is not None:
                    self._lost(writer)
            self._metrics.events.inc(taken)
        except RealtimeError:
            # What was done before is found to be there already.
            self._dirty.update(one.writer for one in carried)
            raise

    def _call(self, writer: RedisWriter, piece: Piece) -> Call:
        log_and_others, rest = self._writers[writer]
        if piece.renews or piece.final or piece.oldest is not None:
            rest = self._rest(writer, piece)
        # What ends a log lets go of its memory, and what keeps it takes none.
        script = APPEND_THOUGH_FULL if piece.final or not piece.batch else APPEND
        return script, log_and_others, (writer.fence, piece.first, piece.last, piece.batch, rest)

    def _rest(self, writer: RedisWriter, piece: Piece | None = None) -> Parts:
        """What `append.lua` is given behind the batch, with most pieces the same."""
        keys = writer.keys
        renews, final, oldest = (piece.renews, piece.final, piece.oldest) if piece else (False, False, None)
        return parts_of(
            writer.log.meta.generation,
            keys.member,
            int(LEASE_S * 1000) if renews else "",
            int((self.retention.ended_s if final else LIFE_S) * 1000),
            "1" if final else "",
            self._connections.publish,
            keys.told,
            _TOLD_BYTES,
            "" if oldest is None else oldest,
        )

    def _acknowledge(self, writer: RedisWriter, piece: Piece, top: int, now: float) -> None:
        if writer.acknowledge(piece, top, now):
            self._dirty.add(writer)

    async def _settle(self, writer: RedisWriter, piece: Piece, answer: Any, now: float) -> None:
        fault = refused(answer)
        if isinstance(answer, PASSING):
            # Again in a moment; the others are not held up by it.
            asyncio.get_running_loop().call_later(_PAUSE_S, self.dirty, writer)
            return
        if fault is not None:
            self._refuse(writer, fault, now)
            return
        word, top, stop = answer[0].decode(), int(answer[1]), answer[2].decode()
        if stop:
            writer.request_stop(stopped_by(stop))
        match word:
            case "OK":
                self._metrics.events.inc(piece.last - piece.first + 1)
                self._acknowledge(writer, piece, top, now)
                more = False
            case "GAP":
                self._metrics.gaps.inc()
                _logger.warning("redis: %s is at %d, not before %d", writer.log.meta.generation, top, piece.first)
                writer.go_on_from(top)
                more = True
            case "LOST":
                self._metrics.lost.inc()
                await self._restore(writer, now)
                more = True
            case _:
                writer.lose("fenced" if word == "FENCED" else "closed")
                more = False
        if more:
            self._dirty.add(writer)

    def _refuse(self, writer: RedisWriter, fault: RealtimeError, now: float) -> None:
        # It may have a lease to renew, which is not refused.
        self._dirty.add(writer)
        writer.refuse(fault, now)

    async def _restore(self, writer: RedisWriter, now: float) -> None:
        """Make again what Redis has lost of a log, and go on from where that is."""
        meta, log = writer.log.meta, writer.log
        keys: LogKeys = log_keys(meta.tenant, meta.generation)
        _logger.warning("redis: %s was lost, and is written again", meta.generation)
        answer = await self._connections.run(
            RESTORE,
            (keys.meta, keys.log, keys.leases),
            (
                writer.token,
                encode_meta(meta),
                writer.fence,
                f"{log.branches.since}:{writer.fence}",
                keys.member,
                int(LEASE_S * 1000),
                int(LIFE_S * 1000),
                log.trimmed,
            ),
        )
        if (fault := refused(answer)) is not None:
            self._refuse(writer, fault, now)
        else:
            writer.go_on_from(int(answer))
