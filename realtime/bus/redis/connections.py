"""What is asked of Redis, and what is told there, whoever it is that has the keys.

Every call has an end, and is said again only by whoever knows what a repeat means.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

from redis.asyncio.client import PubSub
from redis.exceptions import NoScriptError, TryAgainError

from realtime.errors import RealtimeError

from .answers import in_our_words
from .cluster import Cluster
from .keys import LANES, leases
from .lines import Part, Parts
from .metrics import BusMetrics
from .nodes import CALL_S, Nodes, Place
from .one import One
from .scripts import Script

# Between two tries, where some keys of a slot are on their way.
_AGAIN_S = 0.02

_T = TypeVar("_T")

Call = tuple[Script, Sequence[str] | Parts, Sequence[Any]]
"""A script, its keys and its arguments."""


class Connections:
    """See the module.

    Args:
        url: See `One` and `Cluster`.
        metrics: Of the bus; whoever has something to count has these connections.

    Attributes:
        publish: The command that tells a message; in a cluster one that tells it where it is heard, and not everywhere.
    """

    def __init__(self, url: str, metrics: BusMetrics) -> None:
        self.metrics = metrics
        self._nodes: Nodes = Cluster(url) if urlsplit(url).scheme.endswith("+cluster") else One(url)
        self.publish = "SPUBLISH" if self._nodes.sharded else "PUBLISH"

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run one script; raises as `run_all`."""
        deadline = asyncio.get_running_loop().time() + CALL_S
        while True:
            (answer,) = await self.run_all([(script, keys, args)])
            if not isinstance(answer, TryAgainError) or asyncio.get_running_loop().time() > deadline:
                return answer
            # Some of its keys have moved, and some have not. Nothing of it was done.
            await asyncio.sleep(_AGAIN_S)

    async def run_all(self, calls: Iterable[Call]) -> list[Any]:
        """Run several in one round trip to each place.

        Returns:
            Their answers; of one that was refused, or whose place does not answer while another does, its error.

        Raises:
            RealtimeError: `bus_unavailable`: whether any of it was done is not known.
        """
        calls = list(calls)
        answers = await self.all(_command("EVALSHA", call[0].sha, call) for call in calls)
        unknown = [at for at, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            # A Redis that was started since, or has just become the one to ask. Sent once, a script is known there.
            again = [calls[at] for at in unknown]
            late = await self.all(_command("EVAL", call[0].text, call) for call in again)
            for at, answer in zip(unknown, late, strict=True):
                answers[at] = answer
        return answers

    async def all(self, commands: Iterable[Sequence[Any]]) -> list[Any]:
        """The answers to several commands, each of one key; as `run_all`."""
        asked = list(commands)
        return await self._nodes.ask(asked) if asked else []

    async def bounded(self, answer: Awaitable[_T]) -> _T:
        """Await an answer, for so long and no longer; raises what redis-py raises, and TimeoutError."""
        async with asyncio.timeout(CALL_S):
            return await answer

    async def tell(self, calls: Iterable[Call]) -> None:
        """Run what nobody waits for, and what is made up for when it fails."""
        with suppress(RealtimeError):
            await self.run_all(calls)

    async def try_all(self, commands: Iterable[Sequence[Any]]) -> None:
        """The same for commands."""
        with suppress(RealtimeError):
            await self.all(commands)

    # Who has what.

    def place(self, key: str) -> Place | None:
        """Who has a key; None while nobody is known to."""
        return self._nodes.place(key)

    def lanes(self) -> dict[Place, tuple[int, ...]]:
        """The lanes of each place that has any."""
        found: dict[Place, tuple[int, ...]] = {}
        for lane in range(LANES):
            place = self.place(leases(lane))
            if place is not None:
                found[place] = (*found.get(place, ()), lane)
        return found

    async def find_master(self) -> None:
        """Leave a master that is one no more, though it still answers; where nobody can say so, stay with it."""
        with suppress(RealtimeError):
            await in_our_words(self._nodes.find_master())

    def on_moved(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever keys are elsewhere; and now, if it is known where they are."""
        self._nodes.on_moved(callback)

    def suspect(self) -> None:
        """Keys may be elsewhere than is known; find out."""
        self._nodes.suspect()

    # What is told.

    def listener(self, place: Place) -> PubSub:
        """A connection of its own to hear messages by, those that are told in that place."""
        return self._nodes.node(place).listener()

    async def listen(self, listener: PubSub, channels: Iterable[str]) -> None:
        """Have channels heard; raises as `bounded`."""
        if not self._nodes.sharded:
            await self.bounded(listener.subscribe(*channels))
            return
        for channel in channels:
            # Each has a slot, and of two slots at once a node knows nothing.
            await self.bounded(listener.ssubscribe(channel))

    async def ignore(self, listener: PubSub, channel: str) -> None:
        """Have it heard no longer; raises as `bounded`."""
        await self.bounded(listener.sunsubscribe(channel) if self._nodes.sharded else listener.unsubscribe(channel))

    async def close(self) -> None:
        """Close every connection."""
        await self._nodes.close()


def _command(word: str, script: str, call: Call) -> Sequence[Part]:
    _, keys, args = call
    return (
        (word, script, keys.many, keys, *args) if isinstance(keys, Parts) else (word, script, len(keys), *keys, *args)
    )
