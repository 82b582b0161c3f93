"""One run: the processes, their Redis, who writes, who reads, who stops, and what goes wrong, as its plan has it."""

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from unittest.mock import patch

from realtime.bus.base import Writer
from realtime.bus.redis import RedisBus, connections, keys, nodes, one, sweep
from realtime.bus.redis.writer import RedisWriter
from realtime.errors import RealtimeError

from .client import Client, Lines
from .drivers import Work, drive, end_orphan, stop
from .loops import World
from .network import Link, Weather
from .plans import Fault, Plan
from .readers import TENANT, Reader
from .record import Record
from .server import Server

# As few as make processes share some of them, and not others; a sweep of 64 would be most of what is simulated.
_LANES = 3
_LOOK_S = 0.25
# After everything is healed and said: leases, sweeps, looks, and whoever comes again.
_ENDS_S = 60.0
_LASTS_S = 31.0
_TOLD_S = 5.0
# A lease, two sweeps and a renewal: whoever would take it over has, by then.
_AFTER_S = 13.0


class Worker:
    """A process: a loop, a link, and the real bus.

    Attributes:
        bus: Once it is open.
    """

    def __init__(self, scene: "Scene", name: str) -> None:
        self.name = name
        self.loop = scene.world.loop(name)
        self.link = Link(scene.world, scene.server, scene.weather)
        self.bus: RedisBus | None = None
        self._scene = scene
        self.loop.create_task(self._open())

    async def _open(self) -> None:
        bus = RedisBus(self.name)
        try:
            await bus.open(self._orphaned)
        except RealtimeError:
            # A process that cannot begin is begun again.
            self._scene.crash(self, 1.0)
        else:
            self.bus = bus

    async def _orphaned(self, writer: Writer) -> None:
        await asyncio.sleep(self._scene.rng.uniform(0, self._scene.plan.slow_end_s))
        await end_orphan(writer, self.name, self._scene.record)

    @property
    def serves(self) -> bool:
        """It can be asked something."""
        return self.loop.alive and self.bus is not None


class Scene:
    """See the module.

    Args:
        edits: Scripts that run as something else, by their text.
    """

    def __init__(self, plan: Plan, edits: Mapping[str, str]) -> None:
        self.plan = plan
        self.rng = random.Random(plan.seed + 1)
        self.world = World(self.rng)
        self.record = Record()
        self.weather = replace(plan.weather)
        self.server = Server(self.world, lambda *event: self.record.keep(self.world.now, *event), edits)
        self.links: dict[str, Link] = {}
        self.all: list[Worker] = []
        self.slots: list[Worker] = []
        self.over = False
        self.readers: list[Reader] = []
        self._driven: dict[str, tuple[Worker, asyncio.Task[None]]] = {}

    def run(self) -> None:
        """All of it, and then let go of what is left."""
        plan = self.plan
        for number in range(plan.workers):
            self.slots.append(self._worker(f"{number}"))
        for work, count in zip(plan.works, plan.readers, strict=True):
            self._plan_work(work, count)
        for when, generation in plan.stops:
            self.world.at(when, partial(self._stop, generation))
        for fault in plan.faults:
            self.world.at(fault.at, partial(self._begin, fault))
        self.world.at(plan.heals_at, self._heal)
        self.world.at(plan.heals_at, self._look)
        if self.world.run(lambda: self.over, max(plan.heals_at, _LASTS_S) + _ENDS_S):
            # Whoever ended it is told so, if not at once; and what is over stays as it is.
            self.world.run(lambda: False, self.world.now + self.rng.choice([_TOLD_S, _TOLD_S, _AFTER_S]))
        else:
            self.record.wrongs.append(f"it did not end: {', '.join(self.waited_for)}")

    def close(self) -> None:
        """Let every task come to its end."""
        for worker in self.all:
            worker.link.ended = True
        for worker in self.all:
            worker.loop.end()

    def _worker(self, name: str) -> Worker:
        worker = Worker(self, f"{name}.{len(self.all)}")
        self.links[worker.name] = worker.link
        self.all.append(worker)
        return worker

    def node(self, url: str) -> nodes.Node:
        """Redis, as a process asks it that names itself."""
        return nodes.Node(Client(self.links[url]))

    # Who does what.

    def _plan_work(self, work: Work, count: int) -> None:
        self.world.at(work.begins, partial(self._drive, work))
        for number in range(count):
            reader = Reader(
                f"{work.generation[:2]}/{number}", work.generation, self.world, self.record,
                calm=self.plan.calm, forgetful=self.plan.lossy, away=self._come_again,
            )  # fmt: skip
            self.readers.append(reader)
            self.world.at(work.begins + self.rng.choice([0.05, self.rng.uniform(0.1, 20)]), partial(self._come, reader))

    def _drive(self, work: Work) -> None:
        worker = self._any()
        if worker is None or worker.bus is None:
            self.world.after(0.1, partial(self._drive, work))
        else:
            task = worker.loop.create_task(drive(worker.bus, worker.name, work, self.record))
            self._driven[work.generation] = worker, task

    def _any(self) -> Worker | None:
        serving = [worker for worker in self.slots if worker.serves]
        return self.rng.choice(serving) if serving else None

    def _come(self, reader: Reader) -> None:
        worker = self._any()
        if reader.at is not None or self.over:
            return
        if worker is None:
            self._come_again(reader)
            return
        reader.connect(worker)
        if self.world.now < self.plan.heals_at and self.rng.random() < 0.7:
            self.world.after(self.rng.expovariate(0.3), reader.leave)

    def _come_again(self, reader: Reader) -> None:
        self.world.after(self.rng.uniform(0.02, 1.0), partial(self._come, reader))

    def _stop(self, generation: str) -> None:
        worker = self._any()
        if worker is not None and worker.bus is not None:
            now = lambda: self.world.now  # noqa: E731 - the time of the answer
            worker.loop.create_task(stop(worker.bus, generation, now, self.record))

    # What goes wrong.

    def _begin(self, fault: Fault) -> None:
        world, worker = self.world, self.slots[fault.worker]
        match fault.kind:
            case "crash":
                self.crash(worker, fault.lasts_s)
            case "pause":
                worker.loop.paused = True
                world.after(fault.lasts_s, lambda: setattr(worker.loop, "paused", False))
            case "cut":
                worker.link.cut = True
                world.after(fault.lasts_s, worker.link.mend)
            case "deaf":
                self._deafen(worker, told=fault.lasts_s < _TOLD_S)
            case "freeze":
                self.server.freeze()
                world.after(fault.lasts_s, self.server.thaw)
            case "restart":
                self._restart(fault)
            case "jump":
                self.server.jumped_s += 10 * fault.lasts_s

    def _deafen(self, worker: Worker, *, told: bool) -> None:
        for listener in list(worker.link.listeners):
            self.server.forget(listener)
            if told:
                listener.end()

    def _restart(self, fault: Fault) -> None:
        if not self.server.down:
            self.server.die()
            self.world.after(fault.lasts_s, partial(self._rise, fault))

    def _rise(self, fault: Fault) -> None:
        self.server.rise(fault.loss)
        if fault.loss != "nothing":
            # What was promised by what is forgotten cannot be kept.
            self.record.stopped.clear()

    def crash(self, worker: Worker, lasts_s: float) -> None:
        """A process dies, and another takes its place some time later."""
        if not worker.loop.alive:
            return
        worker.loop.die()
        for listener in worker.link.listeners:
            self.server.forget(listener)
        for reader in self.readers:
            if reader.at is worker:
                reader.leave("cut")
        slot = self.slots.index(worker)
        self.world.after(lasts_s, partial(self._replace, slot))

    def _replace(self, slot: int) -> None:
        if not self.over:
            self.slots[slot] = self._worker(f"{slot}")

    def _heal(self) -> None:
        # But for messages: nothing ever depends on one.
        calm = Weather(lost_messages=self.weather.lost_messages)
        for field in Weather.__slots__:
            setattr(self.weather, field, getattr(calm, field))

    # The end.

    def _look(self) -> None:
        """Whether everything is over; and ask for the end of what would go on for ever."""
        self.over = not self.waited_for
        for work in self.plan.works:
            if work.endless and work.generation not in self.record.stopped and self._kept(work.generation):
                self._stop(work.generation)
        self.world.after(_LOOK_S, self._look)

    @property
    def waited_for(self) -> list[str]:
        """What is not over."""
        works = [f"{work.generation[:4]} is driven" for work in self.plan.works if self._drives(work)]
        runs = [f"{work.generation[:4]} runs" for work in self.plan.works if self.runs(work.generation)]
        reads = [
            f"{reader.name} reads" for reader in self.readers
            if not (reader.done or (reader.unknown and not self._kept(reader.generation)))
        ]  # fmt: skip
        return works + runs + reads

    def _drives(self, work: Work) -> bool:
        """It was not begun, or whoever drives it lives and has not done."""
        worker, task = self._driven.get(work.generation, (None, None))
        return worker is None or (worker.loop.alive and task is not None and not task.done())

    def _kept(self, generation: str) -> bool:
        return self.meta(generation) != {}

    def runs(self, generation: str) -> bool:
        """Redis has it, and not its end."""
        meta = self.meta(generation)
        return meta != {} and b"ended" not in meta

    def meta(self, generation: str) -> dict[bytes, bytes]:
        """What Redis says of it."""
        found: dict[bytes, bytes] = self.server.execute(("HGETALL", keys.log_keys(TENANT, generation).meta))
        return found


class _Errors(logging.Handler):
    """Takes what the product logs as an error: something that nobody foresaw."""

    def __init__(self, record: Record) -> None:
        super().__init__(logging.ERROR)
        self._record = record

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._record.wrongs.append(f"logged: {record.getMessage()} {error!r}")


@contextmanager
def playing(plan: Plan, edits: Mapping[str, str]) -> Iterator[Scene]:
    """A scene in which nothing is as it is outside: time, chance, and what is at the other end of the links."""
    scene = Scene(plan, edits)
    chance = random.getstate()
    logger = logging.getLogger("realtime")
    with ExitStack() as stack:
        stack.callback(random.setstate, chance)
        random.seed(plan.seed)
        for owner, name, instead in (
            (keys, "LANES", _LANES),
            (sweep, "LANES", _LANES),
            (connections, "LANES", _LANES),
            (one, "node_of", scene.node),
            (nodes, "Lines", Lines),
            # A set of writers is gone through in the order of their addresses.
            (RedisWriter, "__hash__", lambda writer: hash(writer.fence)),
            (secrets, "token_hex", lambda size: f"{random.getrandbits(8 * size):0{2 * size}x}"),
            (time, "monotonic", scene.world.monotonic),
            (time, "time", scene.world.wall),
            (logger, "propagate", False),
        ):
            stack.enter_context(patch.object(owner, name, instead))
        errors = _Errors(scene.record)
        logger.addHandler(errors)
        stack.callback(logger.removeHandler, errors)
        stack.callback(scene.close)
        yield scene
