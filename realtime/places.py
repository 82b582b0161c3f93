"""A place on a deployment for every generation that is driven, and a line for those that wait for one.

The line is one for all deployments. Who stands in it may be given any of several places, and whoever waits longest and
can use a place gets it.
"""

import asyncio
from collections.abc import Callable, Sequence

from .deployments import Deployment
from .errors import RealtimeError

# The line is told at most so often how it moves: it may be long, and each step is an event in every log of it.
_TELL_S = 1.0
_RETRY_AFTER_S = 5.0

Told = Callable[[int], None]
"""Is told the position in the line, from 1, when it changes."""


class _Waiting:
    """One in the line."""

    __slots__ = ("deployments", "place", "said", "told")

    def __init__(self, deployments: Sequence[Deployment], told: Told) -> None:
        self.deployments = frozenset(deployments)
        self.place: asyncio.Future[Deployment] = asyncio.get_running_loop().create_future()
        self.told = told
        self.said = 0

    def tell(self, position: int) -> None:
        """Say where it stands, if that is news."""
        if position != self.said:
            self.said = position
            self.told(position)


class Places:
    """Gives places and takes them back.

    Args:
        max_waiting: Generations that may stand in line; one more is refused.
    """

    def __init__(self, max_waiting: int = 100) -> None:
        self.max_waiting = max_waiting
        self._line: list[_Waiting] = []
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return len(self._line)

    def refuse_when_full(self, deployments: Sequence[Deployment]) -> None:
        """Raise `overloaded` for whom there is neither a place nor room in the line."""
        if not any(deployment.has_room for deployment in deployments) and self.waiting >= self.max_waiting:
            limit = self.max_waiting
            message = f"All places are taken, and {limit} generations wait for one."
            raise RealtimeError("overloaded", message, limit=limit, retry_after_s=_RETRY_AFTER_S)

    async def take(self, deployments: Sequence[Deployment], told: Told) -> Deployment:
        """A place on the least busy of these deployments, of equally busy ones the first; in turn if all are full.

        Raises:
            RealtimeError: `overloaded` when the line is full.
        """
        free = [deployment for deployment in deployments if deployment.has_room]
        if free:
            chosen = min(free, key=lambda deployment: deployment.load)
            chosen.live += 1
            return chosen
        self.refuse_when_full(deployments)
        waiting = _Waiting(deployments, told)
        self._line.append(waiting)
        waiting.tell(self._position(len(self._line) - 1))
        self._arm()
        try:
            return await waiting.place
        except asyncio.CancelledError:
            if waiting.place.done() and not waiting.place.cancelled():
                # It came in the same turn.
                self.give_back(waiting.place.result())
            raise
        finally:
            if waiting in self._line:
                self._line.remove(waiting)

    def give_back(self, deployment: Deployment) -> None:
        """A generation is over; the first in line who can use its place has it."""
        deployment.live -= 1
        for waiting in self._line:
            if deployment.has_room and deployment in waiting.deployments and not waiting.place.done():
                deployment.live += 1
                waiting.place.set_result(deployment)
                self._line.remove(waiting)
                return

    def _arm(self) -> None:
        if self._timer is None and self._line:
            self._timer = asyncio.get_running_loop().call_later(_TELL_S, self._tell_all)

    def _tell_all(self) -> None:
        self._timer = None
        for index, waiting in enumerate(self._line):
            waiting.tell(self._position(index))
        self._arm()

    def _position(self, index: int) -> int:
        """From 1, among those who wait for any of the same places."""
        wanted = self._line[index].deployments
        return 1 + sum(not wanted.isdisjoint(ahead.deployments) for ahead in self._line[:index])
