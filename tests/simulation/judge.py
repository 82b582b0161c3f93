"""What must hold of a run: what the history checker asks of every history, and what only this one can know."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from realtime.bus.redis.batches import decode_written
from realtime.bus.redis.keys import lane_of, leases, log_keys
from realtime.bus.redis.writer import epoch_of
from realtime.events import Finished
from tests.history.checker import check
from tests.history.rows import Append, Open, Received, Reset, Row, Settled, Stop

from .plans import PARTING, Plan
from .readers import TENANT
from .record import Record, value_of
from .scene import Scene

_FINAL = "final"
# What is promised, and a second for the ways there and back.
_LOST_S, _STOPPED_S, _PROMPT_S = 16.0, 4.5, 1.0
# Two echoes, and a connection.
_HEARS_S = 13.0


@dataclass(frozen=True, slots=True)
class Kept:
    """One event as Redis has it at the end."""

    epoch: str
    seq: int
    value: str
    terminal: bool


def wrongs(scene: Scene) -> list[str]:
    """All that is wrong with a run, in words."""
    plan, record = scene.plan, scene.record
    found = list(record.wrongs)
    found += [f"{worker.name}: {problem.get('message')}" for worker in scene.all for problem in worker.loop.problems]
    found += [
        f"{worker.name} has {len(worker.link.listeners)} connections to listen by"
        for worker in scene.slots if worker.loop.alive and len(worker.link.listeners) > 1
    ]  # fmt: skip
    if scene.world.now > plan.heals_at + _HEARS_S and not plan.weather.lost_messages:
        found += [
            f"{worker.name} hears nothing"
            for worker in scene.slots if worker.serves and not any(map(scene.server.hears, worker.link.listeners))
        ]  # fmt: skip
    logs = {work.generation: kept(scene, work.generation) for work in plan.works}
    for generation, log in logs.items():
        found += [f"{generation[:4]}: {what}" for what in _in_redis(scene, generation, log)]
        found += [f"{generation[:4]}: {what}" for what in _in_time(plan, record, generation, log)]
    rows: list[Row] = []
    for reader, seen in record.rows.items():
        found += [f"{reader}: {what}" for what in _of_reader(plan, seen, logs)]
        rows += _labelled(seen, logs)
    for generation, log in logs.items():
        rows += [Append(generation, _FINAL, one.seq, one.value, terminal=one.terminal) for one in log]
    rows += [Stop(generation, "stopping") for generation in record.stopped]
    rows += [Settled(seal.generation, seal.outcome, seal.events) for seal in record.seals if seal.result == "won"]
    excused = {"unsettled"} if "crash" in plan.kinds else set()
    if plan.lossy and plan.kinds & PARTING:
        # An end that was forgotten is written again by whoever wrote it; without him by another, as another one.
        excused.add("second-terminal")
    gone = {generation for generation, log in logs.items() if plan.lossy and not log}
    for one in check(rows, ledger=not plan.lossy):
        if one.name not in excused and one.generation not in gone:
            found.append(str(one))
    return found


def kept(scene: Scene, generation: str) -> list[Kept]:
    """A log as it is in Redis."""
    entries = scene.server.execute(("XRANGE", log_keys(TENANT, generation).log, "-", "+"))
    found = []
    for _, fields in entries:
        written = decode_written(fields[1])
        for seq, timed in enumerate(written.batch.events, start=written.batch.first):
            terminal = isinstance(timed.event, Finished)
            found.append(Kept(epoch_of(written.fence), seq, value_of(timed.event), terminal))
    return found


def _in_redis(scene: Scene, generation: str, log: Sequence[Kept]) -> Iterator[str]:
    if not log:
        return
    meta = scene.meta(generation)
    if [one.seq for one in log] != list(range(1, len(log) + 1)):
        yield f"Redis has {[one.seq for one in log]}"
    if [one.seq for one in log if one.terminal] != [len(log)]:
        yield f"Redis has ends at {[one.seq for one in log if one.terminal]} of {len(log)}"
    if b"ended" not in meta or int(meta[b"top"]) != len(log):
        yield f"Redis does not say of {len(log)} that it has ended: {meta}"
    keys = log_keys(TENANT, generation)
    if keys.member.encode() in scene.server.execute(("ZRANGE", leases(lane_of(generation)), 0, -1)):
        yield "it has ended and has a lease"


def _in_time(plan: Plan, record: Record, generation: str, log: Sequence[Kept]) -> Iterator[str]:
    outcome = log[-1].value if log else ""
    failed = '"outcome": "failed"' in outcome
    ended, stopped = record.ended_at.get(generation, 0.0), record.stopped.get(generation)
    if plan.parts_nobody and failed and generation in record.created:
        yield "it was lost, and nobody was away"
    if plan.kinds == {"crash"} and plan.smooth and failed:
        last = max(fault.at for fault in plan.faults)
        if ended > last + _LOST_S + plan.slow_end_s:
            yield f"it ended {ended - last:.1f} s after its process"
    if stopped is not None and plan.smooth and plan.kinds <= {"deaf", "jump"}:
        bound = _PROMPT_S if plan.calm else _STOPPED_S
        if ended > stopped + bound:
            yield f"it ended {ended - stopped:.1f} s after the stop"


def _of_reader(plan: Plan, rows: Sequence[Row], logs: dict[str, list[Kept]]) -> Iterator[str]:
    resets = [row for row in rows if isinstance(row, Reset)]
    if resets and not plan.lossy:
        yield f"{resets}, and nothing was lost"
    held = _segments(rows)[-1] if rows else []
    received = [row for row in held if isinstance(row, Received)]
    if not received or _is_of(received, logs[received[0].generation]):
        return
    # The end that a failover has lost was not written again; it is documented not to hold.
    if not (plan.lossy and (received[-1].terminal or not logs[received[0].generation])):
        yield f"what it holds up to {received[-1].seq} is not what there is"


# Branches that were lost are named apart from what there is in the end.


def _segments(rows: Sequence[Row]) -> list[list[Row]]:
    """What one reader was given, parted where it was told to forget it."""
    found: list[list[Row]] = [[]]
    for row in rows:
        if isinstance(row, Reset):
            found.append([])
        found[-1].append(row)
    return found


def _is_of(received: Sequence[Received], log: Sequence[Kept]) -> bool:
    there = {(one.seq, one.epoch, one.value) for one in log}
    return all((row.seq, row.epoch, row.value) in there for row in received)


def _labelled(rows: Sequence[Row], logs: dict[str, list[Kept]]) -> list[Row]:
    found: list[Row] = []
    for number, segment in enumerate(_segments(rows)):
        received = [row for row in segment if isinstance(row, Received)]
        whole = not received or _is_of(received, logs[received[0].generation])
        label = _FINAL if whole else f"x{number}"
        found += [_under(row, label) for row in segment]
        if not whole:
            # What was lost was written too: nothing is shown that Redis never had, or that is known already.
            found += [Append(row.generation, label, row.seq, row.value, terminal=row.terminal) for row in received]
    return found


def _under(row: Row, label: str) -> Row:
    if isinstance(row, Received):
        return replace(row, epoch=label)
    if isinstance(row, Open) and row.cursor is not None:
        return replace(row, cursor=(label, row.cursor[1]))
    return row
