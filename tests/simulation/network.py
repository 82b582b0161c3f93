"""What is between a process and Redis, and what can become of it: late, lost on the way there or back, swallowed.

An exchange is a pipeline on a connection of its own, so that two of them pass each other at will; the connection that
listens keeps its order, as TCP does.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ConnectionError as Disconnected

from .loops import World
from .server import Command, Server, Subscriber

# Between two commands of one pipeline, where others come between them.
_BETWEEN_S = 1e-4
_BETWEEN = 0.2


@dataclass(slots=True)
class Weather:
    """What links are like; by default as good as in one machine room.

    Attributes:
        fast_s: What one way takes at the most, mostly.
        slow_s: What it takes at the most now and then.
        slow: How often.
        lost_requests: Of exchanges that break before all of it was done.
        lost_answers: Of exchanges that break after that.
        lost_messages: Of what is told.
    """

    fast_s: float = 0.001
    slow_s: float = 0.005
    slow: float = 0.05
    lost_requests: float = 0.0
    lost_answers: float = 0.0
    lost_messages: float = 0.0


class Link:
    """Of one process.

    Attributes:
        cut: It swallows everything, and gives some of it back when it is mended.
        ended: Its process is no more.
    """

    def __init__(self, world: World, server: Server, weather: Weather) -> None:
        self.world = world
        self.server = server
        self.weather = weather
        self.cut = self.ended = False
        self.listeners: list[Subscriber] = []
        self._swallowed: list[Callable[[], None]] = []

    def happens(self, chance: float) -> bool:
        """Draw."""
        return chance > 0 and self.world.rng.random() < chance

    def delay(self) -> float:
        """What one way takes, in seconds."""
        weather = self.weather
        return self.world.rng.random() * (weather.slow_s if self.happens(weather.slow) else weather.fast_s)

    def swallow(self, callback: Callable[[], None]) -> None:
        """Do it when the link is mended."""
        self._swallowed.append(callback)

    def mend(self) -> None:
        """Swallow nothing any more."""
        self.cut = False
        swallowed, self._swallowed = self._swallowed, []
        for callback in swallowed:
            self.world.after(0, callback)

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to a pipeline; raises Disconnected."""
        if self.ended:
            raise Disconnected
        answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        _Exchange(self, commands, answer)
        return await answer


class _Exchange:
    """One pipeline, there and back."""

    def __init__(self, link: Link, commands: Sequence[Command], answer: "asyncio.Future[list[Any]]") -> None:
        self._link = link
        self._server = link.server
        self._commands = commands
        self._answer = answer
        self._answers: list[Any] = []
        self._incarnation = link.server.incarnation
        breaks = link.happens(link.weather.lost_requests)
        self._upto = link.world.rng.randrange(len(commands)) if breaks else len(commands)
        link.world.after(link.delay(), self._arrive)

    def _arrive(self) -> None:
        if not self._link.cut:
            self._go_on()
        elif self._link.happens(0.5):
            # Long after whoever sent it has given up, its machine sends it again.
            self._link.swallow(self._go_on)

    def _go_on(self) -> None:
        server = self._server
        while True:
            if server.down or server.incarnation != self._incarnation:
                self._break()
                return
            if server.frozen:
                server.when_it_goes_on(self._go_on)
                return
            if len(self._answers) == self._upto:
                break
            self._answers.append(server.execute(self._commands[len(self._answers)]))
            if self._link.happens(_BETWEEN):
                self._link.world.after(_BETWEEN_S, self._go_on)
                return
        self._reply()

    def _reply(self) -> None:
        link = self._link
        if len(self._answers) < len(self._commands):
            self._break()
        elif not link.happens(link.weather.lost_answers):
            link.world.after(link.delay(), self._deliver)
        elif link.happens(0.5):
            self._break()
        # Else nothing comes back, and its sender finds out by waiting.

    def _break(self) -> None:
        self._link.world.after(self._link.delay(), self._fail)

    def _deliver(self) -> None:
        if self._link.cut:
            self._link.swallow(self._deliver)
        elif not self._answer.done():
            self._answer.set_result(self._answers)

    def _fail(self) -> None:
        if not self._link.cut and not self._answer.done():
            self._answer.set_exception(Disconnected())
