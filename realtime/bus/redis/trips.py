"""What is asked of a cluster: one round trip to each node that has some of the keys, and another to whom it names.

None of it is needed where all keys are in one place, and there none of it is done: see `One`.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from redis.exceptions import AskError, MovedError

from realtime.errors import RealtimeError

from .answers import AWAY, fault, in_our_words
from .lines import Parts
from .nodes import Node, Place

# How often a command is sent to whom an answer has named, before that answer stands.
_HOPS = 4
_ASKING = ("ASKING",)


class Holders(Protocol):
    """Who has which key; see `Nodes`."""

    def place(self, key: str) -> Place | None:
        """Who has a key; None while nobody is known to."""
        ...

    def node(self, place: Place) -> Node:
        """Of a place, to ask it."""
        ...

    def redirected(self, error: AskError, asked: Place) -> Place:
        """Whom the answer of another names instead."""
        ...

    def suspect(self) -> None:
        """Keys may be elsewhere than is known; find out."""
        ...


class _Sent(NamedTuple):
    """A command, to whom, and whether it is said that another has sent it there."""

    command: Sequence[Any]
    place: Place | None
    asking: bool = False


class Trips:
    """See the module."""

    def __init__(self, holders: Holders) -> None:
        self._holders = holders

    async def ask(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """See `Nodes.ask`."""
        sent = [_Sent(command, self._holders.place(_key(command))) for command in commands]
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
        away = [answer for answer in answers if isinstance(answer, AWAY)]
        if away:
            self._holders.suspect()
        if away and len(away) == len(answers):
            raise next((error for error in away if isinstance(error, RealtimeError)), fault("bus_unavailable"))
        return answers

    def _redirected(self, sent: _Sent, error: AskError) -> _Sent:
        assert sent.place is not None
        place = self._holders.redirected(error, sent.place)
        return _Sent(sent.command, place, asking=not isinstance(error, MovedError))

    async def _ask(self, sent: Sequence[_Sent]) -> list[Any]:
        """One round trip to each place."""
        groups: dict[Place | None, list[int]] = {}
        for at, one in enumerate(sent):
            groups.setdefault(one.place, []).append(at)
        if len(groups) == 1:
            # By far the most are, since each flusher has one place, and need no task of their own.
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
            return [fault("bus_unavailable")] * len(sent)
        # ASKING is of the connection, so it goes where what follows it goes.
        commands = [command for one in sent for command in ((_ASKING, one.command) if one.asking else (one.command,))]
        try:
            answers = iter(await in_our_words(self._holders.node(place).ask(commands)))
        except RealtimeError as error:
            return [error] * len(sent)
        # To that nothing is answered but that it was heard.
        return [next(answers) and next(answers) if one.asking else next(answers) for one in sent]


def _key(command: Sequence[Any]) -> str:
    """What decides who is asked: the first key of a script, or that of a command."""
    key: str | Parts = command[3] if command[0] in {"EVAL", "EVALSHA"} else command[1]
    return key.first if isinstance(key, Parts) else key
