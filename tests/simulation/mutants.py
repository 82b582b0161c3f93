"""The bus with one of its guards taken away, each of which the simulation has to notice."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from realtime.bus.redis import ears, keys, shelf, sweep, watch, writer
from realtime.bus.redis.batches import Written
from realtime.bus.redis.keys import lane_of, leases
from realtime.bus.redis.shelf import Shelf
from realtime.bus.redis.shown import Shown, load
from realtime.bus.redis.writer import RedisWriter, epoch_of
from realtime.events import AnyEvent, Finished
from realtime.log import EventLog

from .plans import Plan
from .server import SCRIPTS


@dataclass(frozen=True, slots=True)
class Mutant:
    """One guard less.

    Attributes:
        edits: By the name of a script, what of its text is something else.
        patched: What of the code is.
        fits: Whether its guard has anything to do in a plan.
        seed: One that finds it.
    """

    edits: dict[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    patched: Callable[[], AbstractContextManager[Any]] = nullcontext
    fits: Callable[[Plan], object] = lambda _: True
    seed: int = 0

    @property
    def scripts(self) -> dict[str, str]:
        """By text, as which text it is to run."""
        found = {}
        for name, edits in self.edits.items():
            # As it is run, and as it is run where Redis is full.
            for script in (SCRIPTS[key] for key in (name, f"{name}_though_full") if key in SCRIPTS):
                text = script.text
                for old, new in edits:
                    assert text.count(old) == 1, (name, old)
                    text = text.replace(old, new)
                found[script.text] = text
        return found


def _instead(owner: object, name: str, what: object) -> Callable[[], AbstractContextManager[Any]]:
    return lambda: patch.object(owner, name, what)


async def _nothing(*_: object) -> None:
    """In the place of what is not done."""


async def _read_then_listen(held: Shelf, tenant: str, generation: str) -> EventLog | None:
    read = await load(held._connections, tenant, generation)
    if read is None:
        return None
    await held._lanes.join(lane_of(generation), events=True)
    held.hold(read)
    return read.log


_append = RedisWriter.append


def _shown_at_once(one: RedisWriter, event: AnyEvent, *, more: bool = False) -> int:
    number = _append(one, event, more=more)
    if not isinstance(event, Finished):
        one._ahead.move(number)
        one.log.show()
    return number


def _spliced(one: Shown, written: Written) -> None:
    one.tell(written.last)
    log, batch = one.log, written.batch
    if batch.first <= log.head + 1 and log.finished is None:
        if epoch_of(written.fence) not in log.branches:
            log.branches.begin(epoch_of(written.fence), log.head)
        for timed in batch.events[log.head + 1 - batch.first :]:
            log.append(timed.event, timed.at, more=True)
        log.show()


async def _every_lease(one: sweep.Sweep, _: float) -> list[str]:
    commands = [("ZRANGE", leases(lane), 0, -1) for lane in range(keys.LANES)]
    return [member.decode() for answer in await one._connections.all(commands) for member in answer]


_piece = RedisWriter.piece


def _unrenewed(one: RedisWriter, now: float) -> writer.Piece | None:
    one._lease.renew(now)
    return _piece(one, now)


_FENCE = ("if fence > tonumber(ARGV[1]) or (forgotten and top >= tonumber(ARGV[2])) then", "if 1 > 2 then")
_OWN = ("if not there or string.match(there[2][2], '^%d+') ~= ARGV[1] then", "if 1 > 2 then")
_LEASE = ("if not until_ms or tonumber(until_ms) > now then", "if not until_ms then")

MUTANTS: dict[str, Mutant] = {
    "fence off": Mutant(
        {"append": (_FENCE, _OWN)}, fits=lambda plan: plan.slow_end_s and plan.kinds & {"pause", "cut"}, seed=9
    ),
    "compare off": Mutant({"append": (("elseif first > top + 1 then", "elseif 1 > 2 then"),)}, seed=25),
    "skip of what is there off": Mutant({"append": (("if first <= top then", "if 1 > 2 then"),)}, seed=5),
    "own end not known again": Mutant(
        {"append": (("(ended == ARGV[1] and last == top) and 'OK' or 'CLOSED'", "'CLOSED'"),)}, seed=19
    ),
    "seal not final": Mutant({"append": (("redis.call('HSET', KEYS[2], 'ended', ARGV[1])", ""),)}),
    "subscribe after read": Mutant(patched=_instead(Shelf, "_load", _read_then_listen), seed=79),
    "stop by message only": Mutant({"stop": (("redis.call('HSET', KEYS[1], 'stop', ARGV[1])", ""),)}, seed=4),
    "gap fill off": Mutant(patched=_instead(Shelf, "_catch_up", _nothing)),
    "position check off": Mutant(patched=_instead(watch.Watch, "look", _nothing), seed=5),
    "taken over without a look at the lease": Mutant(
        {"take_over": (_LEASE,)}, patched=_instead(sweep.Sweep, "look", _every_lease)
    ),
    "taken over at first sight": Mutant(patched=_instead(sweep, "RENEW_S", 0.0), seed=32),
    "lease not renewed": Mutant(patched=_instead(RedisWriter, "piece", _unrenewed), seed=12),
    "shown before acknowledged": Mutant(patched=_instead(RedisWriter, "append", _shown_at_once)),
    "lost branch spliced": Mutant(
        patched=_instead(Shown, "take", _spliced),
        fits=lambda plan: plan.lossy and plan.workers > 2 and plan.kinds & {"crash", "pause"},
        seed=64,
    ),
    "nothing taken over": Mutant(patched=_instead(sweep.Sweep, "look", lambda *_: asyncio.sleep(0, [])), seed=7),
    "lost log not made again": Mutant({"restore": (("if not about then", "if 1 > 2 then"),)}, seed=4),
    "deaf link not noticed": Mutant(
        patched=_instead(ears, "ECHO_S", 1e6),
        fits=lambda plan: "deaf" in plan.kinds and not plan.weather.lost_messages,
        seed=104,
    ),
    "cursor judged by what is here": Mutant(patched=_instead(shelf, "reach", _nothing), seed=11),
}
