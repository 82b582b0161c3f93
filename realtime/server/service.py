"""What the endpoints share: sessions, authentication, and every connection that is open."""

import asyncio
import random
from collections.abc import Callable

import msgspec

from realtime.cursor import Cursor
from realtime.errors import RealtimeError
from realtime.log import EventLog
from realtime.manager import SessionManager
from realtime.observation import Observation
from realtime.principal import Principal
from transports.asgi import Scope
from transports.codec import Bye
from transports.pulse import Pulse
from transports.sink import SHORT_WAY, ShortWay

from .auth import Authenticate, anonymous
from .slots import Slot


class HttpLimits(msgspec.Struct, frozen=True):
    """Bounds on what a connection may cost.

    Attributes:
        max_streams: Streaming responses and sockets open at once.
        bye_spread_ms: Clients that are told to come back do so over this long, one second at the earliest.
    """

    body_bytes: int = 2**20
    body_deadline_s: float = 30.0
    heartbeat_s: float = 15.0
    send_deadline_s: float = 10.0
    retry_ms: int = 3000
    max_streams: int = 10_000
    bye_spread_ms: int = 4000


class Service:
    """Shared by all endpoints of one server.

    Args:
        direct: Write streams past the app's middlewares, straight to the socket, and let go of the app's stack while
            they last; it halves what an observer costs. Not for an app whose middlewares change what is sent, or think
            a request over when their call returns. Without effect under a server that was not made by `configure`.
    """

    def __init__(
        self,
        sessions: SessionManager,
        *,
        authenticate: Authenticate = anonymous,
        limits: HttpLimits | None = None,
        direct: bool = False,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self.sessions = sessions
        self.limits = limits or HttpLimits()
        self.direct = direct
        self.pulse = Pulse(heartbeat_s=self.limits.heartbeat_s, send_deadline_s=self.limits.send_deadline_s)
        self._authenticate = authenticate
        self._rand = rand
        self._open: dict[Slot, None] = {}
        self._empty = asyncio.Event()
        self._leaving = False

    def short_way(self, scope: Scope) -> ShortWay | None:
        """The short way to this request's peer, if it may be taken."""
        offered: ShortWay | None = scope.get("extensions", {}).get(SHORT_WAY)
        return offered if self.direct else None

    @property
    def open_streams(self) -> int:
        """Streaming responses and sockets that are open."""
        return len(self._open)

    async def principal(self, scope: Scope) -> Principal:
        """Who is calling; raises `unauthorized`."""
        return await self._authenticate(scope)

    def observe(self, log: EventLog, cursor: Cursor | None, wire: str) -> Observation:
        """Attach an observer."""
        return self.sessions.observe(log, cursor, wire)

    def bye(self) -> Bye:
        """A goodbye whose time to come back is spread: a restart must not be answered by a stampede."""
        return Bye("draining", 1000 + int(self._rand() * self.limits.bye_spread_ms))

    def reserve(self) -> Slot:
        """Room for one more stream, to be used as a context; raises `overloaded` when there is none. Who comes behind
        the farewell is told to go as soon as there is a connection to say it on."""
        limit = self.limits.max_streams
        if len(self._open) >= limit:
            raise RealtimeError("overloaded", f"{limit} streams are open.", limit=limit, retry_after_s=5)
        slot = Slot(self._release)
        self._open[slot] = None
        if self._leaving:
            # It may have come for what is driven elsewhere and has no end here, and would be cut off with the process.
            slot.say_bye()
        return slot

    def _release(self, slot: Slot) -> None:
        self._open.pop(slot, None)
        if not self._open:
            self._empty.set()

    async def farewell(self, patience_s: float) -> None:
        """Say goodbye to every connection that is still open and wait, so long at most, until they have the rest."""
        self._leaving = True
        for connection in tuple(self._open):
            connection.say_bye()
        if self._open:
            self._empty.clear()
            try:
                await asyncio.wait_for(self._empty.wait(), patience_s)
            except TimeoutError:
                return
