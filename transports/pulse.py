"""One clock for all observers: heartbeats, send deadlines and shared flush ticks.

A timer per observer would be armed and cancelled on every write; ten thousand idle ones would keep the loop busy. Here
one task looks at all of them once a second, which is as exact as a heartbeat needs to be, and observers that flush at
the same interval wake on the same tick and so share one joined slice.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Protocol

# Letting one go costs some 0.3 ms: a thousand that stopped reading together must not hold up everyone else.
_AT_ONCE = 8


class Beating(Protocol):
    """What the pulse looks after."""

    @property
    def quiet_since_s(self) -> float:
        """Loop time of its last write."""
        ...

    @property
    def sending_since_s(self) -> float | None:
        """Loop time since when one write has been waiting for the peer; None when none is."""
        ...

    def beat(self) -> None:
        """A heartbeat is due."""
        ...

    def too_slow(self) -> None:
        """A write has waited longer than the send deadline."""
        ...


class Pulse:
    """Looks after connections once a second while there are any.

    Args:
        heartbeat_s: Silence after which a heartbeat is due.
        send_deadline_s: Seconds one write may wait for a peer that does not read.
    """

    def __init__(self, *, heartbeat_s: float = 15.0, send_deadline_s: float = 10.0) -> None:
        self._heartbeat_s = heartbeat_s
        self._send_deadline_s = send_deadline_s
        self._members: dict[Beating, None] = {}
        self._next: asyncio.Handle | None = None
        self._ticks: dict[int, list[Callable[[], None]]] = {}

    def __len__(self) -> int:
        return len(self._members)

    def join(self, member: Beating) -> None:
        """Look after `member` until it leaves."""
        self._members[member] = None
        if self._next is None:
            self._arm()

    def leave(self, member: Beating) -> None:
        """Stop looking after `member`."""
        self._members.pop(member, None)
        if not self._members and self._next is not None:
            self._next.cancel()
            self._next = None

    def at_tick(self, every_ms: int, call: Callable[[], None]) -> None:
        """Call at the next tick of this interval, together with everyone else who waits for it."""
        waiting = self._ticks.get(every_ms)
        if waiting is None:
            waiting = self._ticks[every_ms] = []
            asyncio.get_running_loop().call_later(every_ms / 1000, self._release, every_ms)
        waiting.append(call)

    def tick(self, every_ms: int) -> asyncio.Future[None]:
        """The same tick, to await."""
        waiter = asyncio.get_running_loop().create_future()
        self.at_tick(every_ms, lambda: None if waiter.done() else waiter.set_result(None))
        return waiter

    def _release(self, every_ms: int) -> None:
        for call in self._ticks.pop(every_ms):
            call()

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        self._next = loop.call_later(min(1.0, self._heartbeat_s / 4), self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._look_on(loop, iter(tuple(self._members)))

    def _look_on(self, loop: asyncio.AbstractEventLoop, rest: Iterator[Beating]) -> None:
        """Look until a few have had something to do; the others wait for the next turn of the loop."""
        now, busy = loop.time(), 0
        for member in rest:
            busy += member in self._members and self._see_to(member, now)
            if busy == _AT_ONCE:
                self._next = loop.call_soon(self._look_on, loop, rest)
                return
        self._next = None
        if self._members:
            self._arm()

    def _see_to(self, member: Beating, now: float) -> bool:
        sending = member.sending_since_s
        if sending is not None:
            if now - sending > self._send_deadline_s:
                member.too_slow()
                return True
        elif now - member.quiet_since_s >= self._heartbeat_s:
            member.beat()
            return True
        return False
