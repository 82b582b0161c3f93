"""Time and turns: event loops that no clock drives and no socket wakes, one for each process.

The world runs one callback after the other. Whose turn it is, and which of those that are ready goes first, is drawn;
where nothing is ready, time moves on to whatever is next. So a run depends on its seed and on nothing else.
"""

import asyncio
import random
from collections.abc import Callable
from contextvars import Context
from functools import partial
from heapq import heappop, heappush
from typing import Any, TypeVarTuple, Unpack

_Ts = TypeVarTuple("_Ts")

BEGAN_S = 1_700_000_000.0
# What a callback takes; nothing else moves time while somebody has something to do.
_TURN_S = 2e-5
# Far more than any run needs.
_MOST_TURNS = 3_000_000


class World:
    """See the module.

    Attributes:
        now: Seconds since the run began.
        turns: Callbacks that were run.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.now = 0.0
        self.turns = 0
        self._loops: list[Loop] = []
        self._current: Loop | None = None
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._numbered = 0

    def loop(self, name: str) -> "Loop":
        """A process more; its clocks are not those of the others."""
        made = Loop(self, name, self.rng.uniform(10, 1e6), self.rng.uniform(-2, 2))
        self._loops.append(made)
        return made

    def at(self, when: float, callback: Callable[[], object]) -> None:
        """Call `callback` at that time, or now when it has passed; those of one time in the order of their asking."""
        self._numbered += 1
        heappush(self._due, (when, self._numbered, callback))

    def after(self, seconds: float, callback: Callable[[], object]) -> None:
        """Call `callback` in so many seconds."""
        self.at(self.now + seconds, callback)

    def run(self, over: Callable[[], bool], until: float) -> bool:
        """Run until `over` says so.

        Returns:
            False when the time `until` came first.
        """
        while not over():
            if self.now > until or self.turns > _MOST_TURNS:
                return False
            if self._due and self._due[0][0] <= self.now:
                heappop(self._due)[2]()
            elif (loop := self._next()) is not None:
                self._run_one(loop)
            elif self._due:
                self.now = self._due[0][0]
            else:
                return False
        return True

    def _next(self) -> "Loop | None":
        ready = [loop for loop in self._loops if loop.ready and loop.runs]
        if len(ready) <= 1:
            return ready[0] if ready else None
        return ready[int(self.rng.random() * len(ready))]

    def _run_one(self, loop: "Loop") -> None:
        count = len(loop.ready)
        self.turns += 1
        self.now += _TURN_S
        self.take_turn(loop, int(self.rng.random() * count) if count > 1 else 0)

    def take_turn(self, loop: "Loop", number: int) -> None:
        """Run one of those callbacks of a loop that are ready."""
        handle = loop.ready.pop(number)
        if handle.cancelled():
            return
        self._current = loop
        asyncio._set_running_loop(loop)
        try:
            handle._run()
        finally:
            asyncio._set_running_loop(None)
            self._current = None

    # In the place of `time`'s.

    def monotonic(self) -> float:
        """As the process whose turn it is reads it."""
        return self.now if self._current is None else self._current.time()

    def wall(self) -> float:
        """The same of the time of day."""
        return BEGAN_S + self.now + (0.0 if self._current is None else self._current.skew)


class Loop(asyncio.BaseEventLoop):
    """The event loop of one process.

    Args:
        offset: What its monotonic clock began with.
        skew: Seconds by which its time of day is wrong.

    Attributes:
        alive: Whether its process is; nothing ever comes back from the dead.
        paused: It stands still; what is due meanwhile is due at once when it goes on.
        problems: What it was told that nobody else would hear of.
    """

    def __init__(self, world: World, name: str, offset: float, skew: float) -> None:
        super().__init__()
        self.name = name
        self.skew = skew
        self.ready: list[asyncio.Handle] = []
        self.alive, self.paused = True, False
        self.problems: list[dict[str, Any]] = []
        self._world = world
        self._offset = offset
        self._left: set[asyncio.Task[Any]] = set()

    @property
    def runs(self) -> bool:
        """Whether it may have a turn."""
        return self.alive and not self.paused

    def time(self) -> float:
        return self._world.now + self._offset

    def call_soon(
        self, callback: Callable[[Unpack[_Ts]], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self.ready.append(handle)
        return handle

    def call_at(
        self, when: float, callback: Callable[[Unpack[_Ts]], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._world.at(when - self._offset, partial(self._fire, handle))
        return handle

    def _fire(self, handle: asyncio.TimerHandle) -> None:
        if self.alive and not handle.cancelled():
            self.ready.append(handle)

    def call_exception_handler(self, context: Any) -> None:
        self.problems.append(context)

    def die(self) -> None:
        """Have no turn any more. What it was about to do is kept, or the collector would have it do some of that."""
        self.alive = False
        self._left = asyncio.all_tasks(self)

    def end(self) -> None:
        """Let every task of it come to its end, whatever that is worth, so that none is left to the collector."""
        self.alive = False
        for _ in range(20):
            tasks = asyncio.all_tasks(self)
            for task in tasks:
                task.cancel()
            while self.ready:
                self._world.take_turn(self, 0)
            if not tasks:
                break
        self.close()
