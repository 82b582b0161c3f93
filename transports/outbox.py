"""What one socket sends: messages in the order they were written, and since when its peer has not read."""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import msgspec

from realtime.errors import RealtimeError
from realtime.frames import Envelope

from .asgi import Send
from .codec import Control
from .sink import ShortWay
from .subprotocol import Subprotocol

Ref = str | int | None


class Outbox:
    """The writing half of a socket, and the sink of its pumps; the commands' replies go here too.

    Attributes:
        envelope: See `Sink`.
        quiet_since_s: Loop time of the last write.
        sending_since_s: Loop time since when nothing that was written got through; None while nothing waits.
    """

    __slots__ = (
        "_codec", "_kind", "_loop", "_pending", "_replying", "_send", "_short_way", "envelope", "quiet_since_s",
        "sending_since_s",
    )  # fmt: skip

    def __init__(self, codec: Subprotocol, send: Send, short_way: ShortWay | None) -> None:
        self._loop = asyncio.get_running_loop()
        self.quiet_since_s = self._loop.time()
        self.sending_since_s: float | None = None
        self._codec = codec
        self._send = send
        self._pending = 0
        self._replying: asyncio.Event | None = None
        self._kind: Literal["bytes", "text"] = "bytes" if codec.binary else "text"
        self._short_way = short_way
        self.envelope: Envelope | None = short_way.envelope(text=not codec.binary) if short_way is not None else None

    @contextmanager
    def reply_first(self) -> Iterator[None]:
        """Hold the pumps back while the block lasts: what a command causes comes after its reply, and one that waits
        for the peer, as they may, would else be overtaken."""
        self._replying = asyncio.Event()
        try:
            yield
        finally:
            self._replying.set()
            self._replying = None

    async def write(self, data: bytes) -> None:
        """Send one message; waits while the peer does not read. Raises `OSError` when it has gone."""
        payload = data if self._codec.binary else data.decode()
        await self._waiting(self._send({"type": "websocket.send", self._kind: payload}))

    def put(self, data: bytes) -> bool:
        """See `Sink`."""
        assert self._short_way is not None
        self.quiet_since_s = self._loop.time()
        return self._replying is None and self._short_way.put(data)

    async def ready(self) -> None:
        """See `Sink`."""
        if self._short_way is not None:
            await self._waiting(self._short_way.drain())
        while self._replying is not None:
            await self._replying.wait()

    async def _waiting(self, step: Awaitable[None]) -> None:
        """Await something that ends when the peer reads."""
        self.quiet_since_s = self._loop.time()
        self._pending += 1
        if self._pending == 1:
            self.sending_since_s = self.quiet_since_s
        try:
            await step
        finally:
            self._pending -= 1
            # Any step that gets through is a sign that the peer reads.
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
