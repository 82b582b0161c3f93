"""What one socket sends: messages in the order they were written, and since when its peer has not read."""

import asyncio
from typing import Any, Literal

import msgspec

from realtime.errors import RealtimeError

from .asgi import Send
from .codec import Control
from .subprotocol import Subprotocol

Ref = str | int | None


class Outbox:
    """The writing half of a socket; several pumps and the commands' replies share it.

    Attributes:
        quiet_since_s: Loop time of the last write.
        sending_since_s: Loop time since when nothing that was written got through; None while nothing waits.
    """

    def __init__(self, codec: Subprotocol, send: Send) -> None:
        self._loop = asyncio.get_running_loop()
        self.quiet_since_s = self._loop.time()
        self.sending_since_s: float | None = None
        self._codec = codec
        self._send = send
        self._pending = 0
        self._kind: Literal["bytes", "text"] = "bytes" if codec.binary else "text"

    async def write(self, data: bytes) -> None:
        """Send one message; waits while the peer does not read. Raises `OSError` when it has gone."""
        self.quiet_since_s = self._loop.time()
        self._pending += 1
        if self._pending == 1:
            self.sending_since_s = self.quiet_since_s
        try:
            await self._send({"type": "websocket.send", self._kind: data if self._codec.binary else data.decode()})
        finally:
            self._pending -= 1
            # Any write that gets through is a sign that the peer reads.
            self.sending_since_s = self._loop.time() if self._pending else None

    async def say(self, frame: Control) -> None:
        """Send a control frame."""
        await self.write(self._codec.control(frame))

    async def ok(self, ref: Ref, **fields: Any) -> None:
        """Answer a command that was obeyed; fields that are None are left out."""
        shown = {key: value for key, value in fields.items() if value is not None}
        await self.write(self._codec.reply({"type": "ok", "ref": ref, **shown}))

    async def error(self, ref: Ref, error: RealtimeError) -> None:
        """Answer a command that was refused."""
        await self.write(self._codec.reply({"type": "error", "ref": ref, "error": msgspec.to_builtins(error.error)}))
