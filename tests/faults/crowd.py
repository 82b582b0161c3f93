"""A crowd: hundreds of observers on every wire, at once, and how each of them was sent away."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from tests.history.rows import Row
from tests.support.observer import End, Observer
from tests.support.parsers import Frame
from tests.support.raw import HttpConnection, SocketConnection, WireName
from tests.support.server import Address

Connected = HttpConnection | SocketConnection


class Follower(HttpConnection):
    """Follows a conversation, so that it is still there when there is nothing left to be told but goodbye."""

    def __init__(self, address: Address, wire: WireName, conversation: str) -> None:
        super().__init__(address, wire)
        self._conversation = conversation

    async def open(self, generation: str, after: str | None, options: Mapping[str, Any]) -> None:
        target = f"/v1/conversations/{self._conversation}/events?follow=1&wire={self._wire}"
        await self._exchange.ask("GET", target)
        assert self.status == 200


class Socket(SocketConnection):
    """Stays when all events have come, until it is closed."""

    async def open(self, generation: str, after: str | None, options: Mapping[str, Any]) -> None:
        await super().open(generation, after, options)
        self._last = lambda _: False


class Witness(Observer):
    """An observer that says when it has some of the answer, and keeps what it observes over."""

    def __init__(self, generation: str, name: str, rows: list[Row], connected: Connected) -> None:
        super().__init__(generation, name, rows)
        self.begun = asyncio.Event()
        self.connected = connected

    def _accept(self, frame: Frame) -> None:
        super()._accept(frame)
        # started, attempt, and something that was said
        if len(self.frames) >= 3:
            self.begun.set()


class Crowd:
    """Observers of some generations, as many on each wire as on any other.

    Args:
        generations: Ids by the conversation they are alone in.
    """

    def __init__(self, address: Address, generations: Mapping[str, str], size: int) -> None:
        self.rows: list[Row] = []
        self.witnesses: list[Witness] = []
        kinds: tuple[Callable[[str], Connected], ...] = (
            lambda _: HttpConnection(address, "sse"),
            lambda _: HttpConnection(address, "ndjson"),
            lambda _: Socket(address, "ws-json"),
            lambda _: Socket(address, "ws-msgpack"),
            lambda conversation: Follower(address, "sse", conversation),
            lambda conversation: Follower(address, "ndjson", conversation),
        )
        pairs = itertools.cycle(itertools.product(generations.items(), kinds))
        for number, ((conversation, generation), kind) in zip(range(size), pairs, strict=False):
            self.witnesses.append(Witness(generation, f"witness {number}", self.rows, kind(conversation)))
        self._watching: list[asyncio.Task[End]] = []

    async def attach(self) -> None:
        """Have all of them observe, until each has some of an answer."""
        self._watching = [asyncio.create_task(one.watch_over(one.connected)) for one in self.witnesses]
        begun = asyncio.gather(*(one.begun.wait() for one in self.witnesses))
        either: set[asyncio.Future[Any]] = {begun, *self._watching}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        assert begun.done(), [task for task in self._watching if task.done()]

    async def sent_away(self) -> Counter[str]:
        """How all of them were left, once they were: how many in which way.

        A body may be `complete` or `truncated`, after a goodbye or without; a socket has a code it was closed with.
        """
        ends = await asyncio.gather(*self._watching)
        return Counter(manner(one, end) for one, end in zip(self.witnesses, ends, strict=True))

    def goodbyes(self) -> list[int]:
        """When each that was told to come back shall, in milliseconds."""
        byes = [one.controls[-1] for one in self.witnesses if one.controls[-1]["type"] == "bye"]
        assert {bye["reason"] for bye in byes} == {"draining"}
        return [bye["retry_ms"] for bye in byes]


def manner(witness: Witness, end: End) -> str:
    """How a witness was left; see `sent_away`."""
    goodbye = " after a goodbye" if witness.controls[-1]["type"] == "bye" else ""
    if isinstance(witness.connected, SocketConnection):
        return f"closed with {witness.connected.close_code}{goodbye}"
    return f"{'complete' if end.why != 'cut' else 'truncated'}{goodbye}"
