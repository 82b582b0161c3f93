"""What is asked of Redis, each command of whoever has its key, and in one round trip all that one of them has.

Every call has an end, and is said again only by whoever knows what a repeat means.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from redis.asyncio.client import PubSub
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    OutOfMemoryError,
    RedisError,
    TryAgainError,
)

from realtime.errors import RealtimeError

from .cluster import Cluster
from .keys import LANES, leases
from .metrics import BusMetrics
from .nodes import CALL_S, Nodes, One, Place
from .scripts import Script

_logger = logging.getLogger("realtime")

# For whoever is refused because of it.
_RETRY_AFTER_S = 5.0
# How often a command is sent to whom an answer has named, before that answer stands.
_HOPS = 4
# Between two tries, where some keys of a slot are on their way.
_AGAIN_S = 0.02

# Answers that say nothing of the command: that nobody has come to answer it, and with these that its keys are on their
# way from one node to another. None of it was done.
_AWAY = (RealtimeError, ClusterDownError)
PASSING = (*_AWAY, AskError, TryAgainError)
_ASKING = ("ASKING",)

_T = TypeVar("_T")

Call = tuple[Script, Sequence[str], Sequence[Any]]
"""A script, its keys and its arguments."""


class _Sent(NamedTuple):
    """A command, to whom, and whether it is said that another has sent it there."""

    command: Sequence[Any]
    place: Place | None
    asking: bool = False


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
        if not calls:
            return []
        answers = await self.all(("EVALSHA", script.sha, len(keys), *keys, *args) for script, keys, args in calls)
        unknown = [at for at, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            # A Redis that was started since, or has just become the one to ask. Sent once, a script is known there.
            again = [calls[at] for at in unknown]
            late = await self.all(("EVAL", script.text, len(keys), *keys, *args) for script, keys, args in again)
            for at, answer in zip(unknown, late, strict=True):
                answers[at] = answer
        return answers

    async def all(self, commands: Iterable[Sequence[Any]]) -> list[Any]:
        """The answers to several commands, each of one key; as `run_all`."""
        sent = [_Sent(command, self.place(_key(command))) for command in commands]
        answers = await self._ask(sent)
        for _ in range(_HOPS):
            again = {at: answer for at, answer in enumerate(answers) if isinstance(answer, AskError)}
            if not again:
                break
            for at, error in again.items():
                sent[at] = self._redirected(sent[at], error)
            late = await self._ask([sent[at] for at in again])
            for at, answer in zip(again, late, strict=True):
                answers[at] = answer
        away = [answer for answer in answers if isinstance(answer, _AWAY)]
        if away:
            self._nodes.suspect()
        if away and len(away) == len(answers):
            raise next((error for error in away if isinstance(error, RealtimeError)), _fault("bus_unavailable"))
        return answers

    def _redirected(self, sent: _Sent, error: AskError) -> _Sent:
        assert sent.place is not None
        place = self._nodes.redirected(error, sent.place)
        return _Sent(sent.command, place, asking=not isinstance(error, MovedError))

    async def _ask(self, sent: Sequence[_Sent]) -> list[Any]:
        """One round trip to each place."""
        groups: dict[Place | None, list[int]] = {}
        for at, one in enumerate(sent):
            groups.setdefault(one.place, []).append(at)
        if len(groups) == 1:
            # By far the most are, and need no task of their own.
            return await self._trip(sent[0].place, sent)
        trips = (self._trip(place, [sent[at] for at in group]) for place, group in groups.items())
        answers: list[Any] = [None] * len(sent)
        for group, found in zip(groups.values(), await asyncio.gather(*trips), strict=True):
            for at, answer in zip(group, found, strict=True):
                answers[at] = answer
        return answers

    async def _trip(self, place: Place | None, sent: Sequence[_Sent]) -> list[Any]:
        """One round trip; where it fails that is the answer to each command."""
        if place is None:
            return [_fault("bus_unavailable")] * len(sent)
        # ASKING is of the connection, so it goes where what follows it goes.
        commands = [command for one in sent for command in ((_ASKING, one.command) if one.asking else (one.command,))]
        try:
            answers = iter(await _in_our_words(self._nodes.node(place).ask(commands)))
        except RealtimeError as error:
            return [error] * len(sent)
        # To that nothing is answered but that it was heard.
        return [next(answers) and next(answers) if one.asking else next(answers) for one in sent]

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
            await _in_our_words(self._nodes.find_master())

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


def refused(answer: Any) -> RealtimeError | None:
    """The error that one of several answers is, if it is one."""
    if isinstance(answer, RealtimeError):
        return answer
    if isinstance(answer, OutOfMemoryError):
        return _fault("bus_full")
    if isinstance(answer, Exception):
        _logger.warning("redis: %s", type(answer).__name__)
        return _fault("bus_unavailable")
    return None


async def _in_our_words(answer: Awaitable[_T]) -> _T:
    try:
        return await answer
    except OutOfMemoryError:
        raise _fault("bus_full") from None
    except (RedisError, OSError, TimeoutError) as error:
        _logger.warning("redis: %s", type(error).__name__)
        raise _fault("bus_unavailable") from None


def _fault(code: str) -> RealtimeError:
    return RealtimeError(code, retry_after_s=_RETRY_AFTER_S)


def _key(command: Sequence[Any]) -> str:
    """What decides who is asked: the first key of a script, or that of a command."""
    key: str = command[3] if command[0] in {"EVAL", "EVALSHA"} else command[1]
    return key
