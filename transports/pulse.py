"""One clock for all observers: heartbeats, send deadlines and shared flush ticks.

A timer per observer would be armed and cancelled on every write; ten thousand idle ones would keep the loop busy. Here
one task looks at all of them once a second, which is as exact as a heartbeat needs to be, and observers that flush at
the same interval wake on the same tick and so share one joined slice.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol


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
        self._timer: asyncio.TimerHandle | None = None
        self._ticks: dict[int, list[Callable[[], None]]] = {}

    def __len__(self) -> int:
        return len(self._members)

    def join(self, member: Beating) -> None:
        """Look after `member` until it leaves."""
        self._members[member] = None
        if self._timer is None:
            self._arm()

    def leave(self, member: Beating) -> None:
        """Stop looking after `member`."""
        self._members.pop(member, None)
        if not self._members and self._timer is not None:
            self._timer.cancel()
            self._timer = None

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
        self._timer = asyncio.get_running_loop().call_later(min(1.0, self._heartbeat_s / 4), self._look)

    def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        for member in tuple(self._members):
            sending = member.sending_since_s
            if sending is not None:
                if now - sending > self._send_deadline_s:
                    member.too_slow()
            elif now - member.quiet_since_s >= self._heartbeat_s:
                member.beat()
        if self._members:
            self._arm()
