"""Connections: how many there may be, which are free, and who waits for one."""

import asyncio
import ssl
from collections import OrderedDict

import httpx2

from .connection import Connection
from .dial import dial
from .origin import Origin

_CLOSED = "The transport is closed."


class Pool:
    """A bounded number of connections to any origins, lent in the order in which they were asked for.

    Every step costs the same however many connections there are: these are `OrderedDict`s because the first of a `dict`
    is found by stepping over all that were deleted before it. A connection is in `_open` from before it is dialled
    until its socket is gone, so the bound holds for descriptors.

    Args:
        size: How many connections there may be.
        keepalive_s: Seconds after which an idle one is closed.
        context: For TLS.
    """

    def __init__(self, size: int, keepalive_s: float, context: ssl.SSLContext) -> None:
        self._size = size
        self._keepalive_s = keepalive_s
        self._context = context
        self._open: set[Connection] = set()
        # When each became idle, the longest idle first; and the same by origin.
        self._idle: OrderedDict[Connection, float] = OrderedDict()
        self._idle_of: dict[Origin, OrderedDict[Connection, None]] = {}
        # In their order; a future's result is a connection, idle until now or still to be dialled.
        self._waiting: OrderedDict[asyncio.Future[Connection], Origin] = OrderedDict()
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False
        self._emptied = asyncio.Event()

    @property
    def open(self) -> int:
        """Connections, those included that are being made or closed."""
        return len(self._open)

    @property
    def idle(self) -> int:
        """Connections that no request uses."""
        return len(self._idle)

    @property
    def waiting(self) -> int:
        """Requests without a connection."""
        return len(self._waiting)

    async def take(
        self, origin: Origin, pool_s: float | None, connect_s: float | None, *, fresh: bool = False
    ) -> Connection:
        """A connection to `origin` for one request; with `fresh` none that was used before.

        Raises:
            httpx2.PoolTimeout: None was to be had within `pool_s` seconds.
            httpx2.TransportError: As `dial`; or the transport is closed.
        """
        try:
            async with asyncio.timeout(pool_s):
                connection = await self._place(origin, fresh=fresh)
        except TimeoutError:
            raise httpx2.PoolTimeout("") from None
        if not connection.made:
            try:
                await dial(connection, self._context, connect_s)
            except BaseException:
                connection.abort()
                # A loop does not tell the end of what was no connection yet. The socket is closed in its next turn.
                asyncio.get_running_loop().call_soon(self.lost, connection)
                raise
        return connection

    def free(self, connection: Connection) -> None:
        """Its request is over and another may follow."""
        if self._closed or self._keepalive_s <= 0:
            connection.abort()
            return
        origin = self._first_origin()
        if origin is not None and origin != connection.origin:
            # The first in line gets its place: whoever passed it by would starve it.
            connection.abort()
            return
        if origin is not None:
            self._serve_first(connection)
            return
        loop = asyncio.get_running_loop()
        self._idle[connection] = loop.time()
        self._idle_of.setdefault(connection.origin, OrderedDict())[connection] = None
        if self._sweep is None:
            self._sweep = loop.call_later(self._keepalive_s, self._close_expired)

    def lost(self, connection: Connection) -> None:
        """Its socket is gone, or never was; its place is for the first in line."""
        if connection not in self._open:
            return
        self._open.discard(connection)
        self._forget_idle(connection)
        if self._closed and not self._open:
            self._emptied.set()
        origin = self._first_origin()
        if origin is not None:
            self._serve_first(self._new(origin))

    async def close(self) -> None:
        """Close every connection, and fail what waits for one."""
        self._closed = True
        waiting = list(self._waiting)
        self._waiting.clear()
        for future in waiting:
            if not future.done():
                future.set_exception(httpx2.ConnectError(_CLOSED))
        for connection in tuple(self._open):
            connection.abort()
            if not connection.made:
                self._open.discard(connection)
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        # The loop closes sockets in its next turns.
        if self._open:
            await self._emptied.wait()

    async def _place(self, origin: Origin, *, fresh: bool) -> Connection:
        """A connection that is idle, or one to dial."""
        while not self._closed:
            connection = None if fresh else self._last_idle(origin)
            if connection is None:
                connection = await self._wait(origin) if len(self._open) >= self._size else self._new(origin)
            if not connection.made or not (fresh or connection.stale()):
                return connection
            connection.abort()
        raise httpx2.ConnectError(_CLOSED)

    async def _wait(self, origin: Origin) -> Connection:
        if self._idle:
            # Its place becomes free when its socket is gone.
            oldest = next(iter(self._idle))
            self._forget_idle(oldest)
            oldest.abort()
        future: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self._waiting[future] = origin
        try:
            return await future
        except BaseException:
            if future.done() and not future.cancelled() and future.exception() is None:
                # It was served in the very turn in which it gave up.
                self._hand_back(future.result())
            raise
        finally:
            self._waiting.pop(future, None)

    def _hand_back(self, connection: Connection) -> None:
        if connection.made and not connection.closed:
            self.free(connection)
        elif not connection.made:
            self.lost(connection)

    def _first_origin(self) -> Origin | None:
        """Where the first in line wants to; those that gave up are no longer in it."""
        while self._waiting:
            future, origin = next(iter(self._waiting.items()))
            if not future.done():
                return origin
            del self._waiting[future]
        return None

    def _serve_first(self, connection: Connection) -> None:
        future = next(iter(self._waiting))
        del self._waiting[future]
        future.set_result(connection)

    def _new(self, origin: Origin) -> Connection:
        connection = Connection(origin, self)
        self._open.add(connection)
        return connection

    def _last_idle(self, origin: Origin) -> Connection | None:
        """The one that was used last: the others can expire."""
        idle = self._idle_of.get(origin)
        if not idle:
            return None
        connection = next(reversed(idle))
        self._forget_idle(connection)
        return connection

    def _forget_idle(self, connection: Connection) -> None:
        if self._idle.pop(connection, None) is None:
            return
        idle = self._idle_of[connection.origin]
        del idle[connection]
        if not idle:
            del self._idle_of[connection.origin]

    def _close_expired(self) -> None:
        self._sweep = None
        loop = asyncio.get_running_loop()
        while self._idle:
            connection, since = next(iter(self._idle.items()))
            if since + self._keepalive_s > loop.time():
                self._sweep = loop.call_at(since + self._keepalive_s, self._close_expired)
                return
            self._forget_idle(connection)
            connection.abort()
