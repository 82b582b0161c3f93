"""TLS between a TCP transport and a connection: what a loop's own does, in half of the memory.

uvloop's has a buffer of 256 KiB for each connection, and asks for as much at every read. Here a read is as long as what
came.
"""

import asyncio
import ssl
from typing import Any

from .connection import Connection

# OpenSSL's buffers in memory keep the size of the most that was ever in them.
_PIECE_BYTES = 16 * 1024


class Secured(asyncio.Transport, asyncio.Protocol):
    """The protocol of a TCP transport, and the transport of a connection. It knows of no farewell: a connection aborts.

    Args:
        transport: Connected; it is ours from now on.
        connection: Whom to tell what was said, and what becomes of the transport.
        host: The name or address that the peer has to prove.
    """

    def __init__(
        self, transport: asyncio.Transport, connection: Connection, context: ssl.SSLContext, host: str
    ) -> None:
        self._transport = transport
        self._connection = connection
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._waiter: asyncio.Future[None] | None = None
        self._fault: ssl.SSLError | None = None
        self._agreed = self._ended = False

    async def agree(self) -> None:
        """Do the handshake, for as long as it takes.

        Raises:
            ssl.SSLError: The peer is not who it should be, or speaks something else.
            ConnectionResetError: It closed in the middle.
            OSError: The connection broke.
        """
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.set_protocol(self)
        try:
            self._shaken()
            await self._waiter
        finally:
            # It holds what failed, whose traceback holds this frame.
            self._waiter = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data)
        try:
            for start in range(0, len(view), _PIECE_BYTES):
                self._tls.write(view[start : start + _PIECE_BYTES])
                self._flush()
        except ssl.SSLError as error:
            self._break(error)

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def abort(self) -> None:
        self._transport.abort()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._tls if name == "ssl_object" else self._transport.get_extra_info(name, default)

    def data_received(self, data: bytes) -> None:
        if len(data) <= _PIECE_BYTES:
            said = self._open(data)
        else:
            starts = range(0, len(data), _PIECE_BYTES)
            said = b"".join([self._open(data[start : start + _PIECE_BYTES]) for start in starts])
        self._flush()
        if said:
            self._connection.data_received(said)
        if self._ended:
            self._connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        exc = exc or self._fault
        self._fault = None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(exc or ConnectionResetError("The peer closed during the handshake."))
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()

    def _open(self, data: bytes) -> bytes:
        """What `data` completes, in clear."""
        tls, incoming, said = self._tls, self._incoming, b""
        incoming.write(data)
        if not self._agreed and not self._shaken():
            return b""
        try:
            while most := incoming.pending or tls.pending():
                piece = tls.read(most)
                if not piece:
                    self._ended = True
                    break
                said = said + piece if said else piece
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._break(error)
        self._let_go()
        return said

    def _let_go(self) -> None:
        """Have OpenSSL free the 16 KiB in which it would answer a ticket: it does so at a write, be it of nothing."""
        try:
            self._tls.write(b"")
        except ssl.SSLError:
            # Broken, or in the middle of another handshake.
            return

    def _shaken(self) -> bool:
        """Go on with the handshake; whether it is done."""
        if self._waiter is None or self._waiter.done():
            return False
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._waiter.set_exception(error)
        else:
            self._agreed = True
            self._waiter.set_result(None)
        self._flush()
        return self._agreed

    def _break(self, error: ssl.SSLError) -> None:
        """It cannot go on; the connection hears why when the transport is gone."""
        self._fault = self._fault or error
        self._transport.abort()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._transport.write(self._outgoing.read())
