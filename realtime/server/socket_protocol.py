"""uvicorn's WebSocket protocol, where what a client does wrong is answered and is not the log's business.

uvicorn's own leaves a handshake that its parser refuses without an answer and open for ever, closes a socket while the
peer still sends, so that the reset overtakes the close frame, logs a traceback for text that is not UTF-8 and an error
for a handshake that was refused, and at `debug` logs every header and frame: keys and prompts.
"""

import asyncio
import logging
from collections.abc import MutableMapping
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from realtime.frames import Envelope

from .short_way import CarryingOn, WithShortWay, binary_message, text_message

# How long a peer that was told to go may still send.
_LINGER_S = 1.0
_INVALID_TEXT = 1007

_logger = logging.getLogger("realtime.sockets")
_logger.setLevel(logging.WARNING)


class SocketProtocol(CarryingOn, WebSocketsSansIOProtocol):
    """See the module. It is itself the short way of its connection (`transports.sink.ShortWay`)."""

    # What every write looks at, outside uvicorn's dict, which is large: the transport while it takes what is put.
    __slots__ = ("_close_sent", "_outlet")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._outlet: asyncio.Transport | None = None
        super().__init__(*args, **kwargs)
        self.app = WithShortWay(self.app, self)
        self.logger = _logger
        self.conn.logger = _logger
        self.conn.debug = False

    @property
    def close_sent(self) -> bool:
        """Whether the last frame has been written; nothing is put behind it, whoever wrote it."""
        return self._close_sent

    @close_sent.setter
    def close_sent(self, sent: bool) -> None:
        self._close_sent = sent
        if sent:
            self._outlet = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._outlet = self.transport

    def pause_writing(self) -> None:
        super().pause_writing()
        self._outlet = None

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self._over:
            self._outlet = self.transport

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.handshake_initiated and self.conn.handshake_exc is not None:
            self.handshake_initiated = self.handshake_complete = self.close_sent = True
            self.transport.write(b"".join(self.conn.data_to_send()))
            self._linger()

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.frames = []
                self.conn.fail(_INVALID_TEXT)
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        if self.close_sent:
            return
        sent = self.conn.close_sent
        assert sent is not None
        self.queue.put_nowait({"type": "websocket.disconnect", "code": sent.code, "reason": sent.reason})
        self.close_sent = True
        self.transport.write(b"".join(self.conn.data_to_send()))
        self._linger()

    async def send(self, message: MutableMapping[str, Any]) -> None:  # type: ignore[override]  # uvicorn's is closed
        if message["type"] == "websocket.close":
            # Also to a peer that does not read: it is for when it reads again, and the last thing written.
            self.writable.set()
        await self.writable.wait()
        if self.handshake_complete and self.close_sent:
            # The closing handshake began here, for a frame that makes no sense, and the app has yet to be told.
            # uvicorn would take what it still says for its mistake.
            raise ClientDisconnected
        await super().send(message)  # type: ignore[arg-type]
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True
        if message["type"] == "websocket.accept":
            # Two kilobytes of headers that nobody reads again.
            del self.request, self.response

    def envelope(self, *, text: bool) -> Envelope | None:
        """See `ShortWay`."""
        return text_message if text else binary_message

    def put(self, data: bytes) -> bool:
        """See `ShortWay`."""
        outlet = self._outlet
        if outlet is None or outlet.is_closing():
            return False
        outlet.write(data)
        return True

    async def drain(self) -> None:
        """See `ShortWay`."""
        # Whoever else waited may have written first, and there is no room again.
        while not self.writable.is_set():
            await self.writable.wait()
        if self._over:
            raise ClientDisconnected

    @property
    def _over(self) -> bool:
        """Whether nothing may be written any more: not after a close frame, whoever wrote it."""
        return self.close_sent or self.disconnected or self.transport.is_closing()

    def handle_ping(self) -> None:
        # In the same read as a frame that made no sense, whose answer was the last thing to be written.
        if not self.close_sent:
            super().handle_ping()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._outlet = None
        # Both refer back to themselves: the application to this, the library's parser to its connection.
        self.app = _closed
        self.conn.parser.close()

    def _linger(self) -> None:
        """Close this direction and read on for a moment: closing both with bytes unread would send a reset."""
        if self.transport.can_write_eof():
            self.transport.write_eof()
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(_LINGER_S, self.transport.close)


async def _closed(scope: Any, receive: Any, send: Any) -> None:
    """In the place of an application that is not called any more."""
