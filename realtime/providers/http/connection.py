"""One connection: requests out, one at a time, and what comes back to the body of the one that is answered."""

import asyncio
import socket
from contextlib import aclosing
from typing import Protocol, cast

import httpx2

from .answer import Answer
from .body import Body
from .kernel import readable, unacknowledged
from .origin import Origin
from .outgoing import Outgoing

# What anthropic's default client sets: a peer that is gone without a word is noticed after six minutes.
_KEEPALIVE = [("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 60), ("TCP_KEEPCNT", 5)]
_OPTIONS = [(getattr(socket, name), value) for name, value in _KEEPALIVE if hasattr(socket, name)]


class Keeper(Protocol):
    """Who is told what becomes of a connection."""

    def free(self, connection: "Connection") -> None: ...

    def lost(self, connection: "Connection") -> None: ...


class Connection(asyncio.Protocol):
    """See the module; `dial` connects it.

    Attributes:
        made: There is, or was, a socket.
        closed: It is of no more use.
        used: A request was sent on it.
        untouched: The last request failed before a byte of an answer came.
        refused: The peer closed before it had any of it, so that it cannot have had an effect.
    """

    def __init__(self, origin: Origin, keeper: Keeper) -> None:
        self.origin = origin
        self.made = self.closed = self.used = self.untouched = self.refused = False
        self._keeper = keeper
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._answer: Answer | None = None
        self._body: Body | None = None
        self._whole = False
        self._sent_bytes = 0
        self._reading = True
        self._full = False
        self._writer: asyncio.Future[None] | None = None

    async def ask(self, outgoing: Outgoing, write_s: float | None, read_s: float | None) -> tuple[Answer, Body]:
        """Send a request and wait for the head of its answer.

        Raises:
            httpx2.TransportError: See `Transport`.
        """
        self.used, self._whole, self._sent_bytes = True, False, 0
        answer = self._answer = Answer(outgoing.method)
        body = self._body = Body(self, read_s)
        try:
            await self._send(outgoing, write_s)
            while not answer.status and not body.over:
                await body.wait()
            if not answer.status:
                body.check()
        except BaseException:
            self.untouched = not answer.touched
            # Not the connection: it may serve another request by now.
            body.close()
            raise
        return answer, body

    def stale(self) -> bool:
        """It is closed, or the peer has said something unasked, which can only be good-bye."""
        transport = self._transport
        if transport is None or self.closed or transport.is_closing():
            return True
        return readable(transport.get_extra_info("socket"))

    def pause(self) -> None:
        """Read no more for now."""
        if self._reading and not self.closed and self._transport is not None:
            self._reading = False
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if not self._reading and not self.closed and self._transport is not None:
            self._reading = True
            self._transport.resume_reading()

    def abort(self, why: str = "The connection was closed.") -> None:
        """Close the socket now, with nothing sent any more: no flush, no farewell of TLS that a peer could delay."""
        self.closed = True
        answer, body, self._answer, self._body = self._answer, self._body, None, None
        if answer is not None:
            answer.drop()
        if body is not None:
            body.fail(httpx2.ReadError(why))
        self._let_write()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self.made = True
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _OPTIONS:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
        if self.closed:
            self._transport.abort()

    def secured(self, transport: asyncio.Transport) -> None:
        """From now on what is said goes through TLS."""
        self._transport = transport
        if self.closed:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        answer, body = self._answer, self._body
        if answer is None or body is None:
            self.abort()
            return
        if body.timed:
            body.heard = self._loop.time()
        piece = answer.feed(data)
        if piece:
            body.receive(piece)
        elif answer.status:
            body.wake()
        if self._writer is not None and answer.status >= 400:
            self._let_write()
        if answer.complete or answer.error is not None:
            self._conclude(answer)

    def eof_received(self) -> None:
        answer = self._answer
        if answer is not None and not answer.touched and self._transport is not None:
            left = unacknowledged(self._transport.get_extra_info("socket"))
            self.refused = left >= self._sent_bytes > 0
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if exc is not None:
            self.abort(str(exc))
        self._end()
        self._keeper.lost(self)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._let_write()

    def _end(self) -> None:
        self.closed = True
        if self._answer is not None:
            self._answer.end()
            self._conclude(self._answer)
        self.abort()

    def _conclude(self, answer: Answer) -> None:
        """The answer is over, for better or worse; so may the connection be."""
        body = self._body
        if body is None:
            return
        self._answer = self._body = None
        if answer.error is not None:
            body.fail(answer.error)
        else:
            body.end()
        if not (answer.complete and answer.reusable and self._whole) or self.closed:
            self.abort()
            return
        # An idle connection is read, or its end would not be seen.
        self.resume()
        self._keeper.free(self)

    async def _send(self, outgoing: Outgoing, write_s: float | None) -> None:
        answer, body, transport = self._answer, self._body, self._transport
        assert answer is not None
        assert body is not None
        async with aclosing(outgoing.pieces()) as pieces:
            async for piece in pieces:
                # Who has refused a request does not have to take the rest of it (RFC 9112 9.5). A connection that was
                # lost may have brought an answer before: reading tells.
                if body.over or answer.status >= 400 or transport is None:
                    return
                self._sent_bytes += len(piece)
                transport.write(piece)
                if self._full:
                    await self._until_writable(write_s)
        self._whole = not outgoing.closing

    async def _until_writable(self, write_s: float | None) -> None:
        self._writer = self._loop.create_future()
        try:
            async with asyncio.timeout(write_s):
                await self._writer
        except TimeoutError:
            raise httpx2.WriteTimeout("") from None
        finally:
            self._writer = None

    def _let_write(self) -> None:
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)
