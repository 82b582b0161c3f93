"""Slices to a socket: the streaming response of every HTTP wire, as bare ASGI.

Not `StreamingResponse`, not `EventSourceResponse`: those cost one to three more tasks and a queue for each connection
and two to three times the CPU of a delivery. Here it is the request's own task, and one that waits for the disconnect;
by the short way not even that, and of the application's stack nothing.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

from realtime.errors import RealtimeError
from realtime.frames import Envelope
from realtime.hooks import Leaving
from realtime.observation import Nudge, Observation

from .asgi import Headers, Receive, Send, disconnected
from .codec import Bye, Codec
from .options import ObserveOptions
from .pulse import Pulse
from .pump import Pump
from .sink import ShortWay

_logger = logging.getLogger("realtime")

# Proxies that buffer or transform would hold tokens back: nginx reads the second, CDNs `no-transform`.
STREAM_HEADERS: Headers = [
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
]


class Wakeable(Protocol):
    """What a stream is serving right now: an observation, or the wait for one."""

    def wake(self, nudge: Nudge, /) -> None:
        """Come out of a wait and act on the nudge."""
        ...


class HttpStream:
    """One streaming response: `open`, then `run` or `run_on`.

    Args:
        serve: Writes to the stream until there is nothing more to say, and returns why.
        pulse: Looks after the connection while it lasts.
        headers: Beside the content type and `STREAM_HEADERS`.

    Attributes:
        target: What a heartbeat or a goodbye is passed on to; `serve` sets it.
        envelope: See `Sink`.
        broken: Set by `serve` when the body must not end as a complete one.
    """

    __slots__ = (
        "_cancelled", "_codec", "_headers", "_leaving", "_loop", "_pulse", "_retry_ms", "_send", "_serve", "_short_way",
        "_target", "_task", "broken", "envelope", "left", "quiet_since_s", "sending_since_s",
    )  # fmt: skip

    def __init__(
        self,
        codec: Codec,
        serve: Callable[["HttpStream"], Awaitable[Leaving]],
        *,
        pulse: Pulse,
        retry_ms: int,
        headers: Headers | None = None,
    ) -> None:
        self.broken = False
        self.envelope: Envelope | None = None
        self._target: Wakeable | None = None
        self._leaving = self._cancelled = False
        self.quiet_since_s = 0.0
        self.sending_since_s: float | None = None
        self.left: Leaving | None = None
        self._codec = codec
        self._serve = serve
        self._pulse = pulse
        self._retry_ms = retry_ms
        self._headers = headers or []
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._send: Send | None = None
        self._short_way: ShortWay | None = None

    @property
    def target(self) -> Wakeable | None:
        """See the class."""
        return self._target

    @target.setter
    def target(self, target: Wakeable | None) -> None:
        self._target = target
        # A goodbye that was said between two targets is for whichever comes next.
        if target is not None and self._leaving:
            target.wake("bye")

    async def open(self, send: Send) -> None:
        """Send the head."""
        content_type = (b"content-type", self._codec.content_type)
        headers = [content_type, *STREAM_HEADERS, *self._headers]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def run(self, send: Send, *, receive: Receive) -> None:
        """Send the body, within the application's call."""
        watcher = self._loop.create_task(self._watch(receive))
        try:
            await self._run(send)
        finally:
            watcher.cancel()

    async def run_on(self, short_way: ShortWay) -> None:
        """Send the body by the short way, once the application has returned."""
        self._short_way = short_way
        self.envelope = short_way.envelope(text=False)
        gone = partial(self._leave, "disconnected")
        short_way.gone = gone
        if short_way.lost:
            # Not at once: who came and left is to be noticed as both.
            self._loop.call_soon(gone)
        await self._run(short_way.send)

    async def _run(self, send: Send) -> None:
        self._send = send
        self._task = asyncio.current_task()
        self._pulse.join(self)
        try:
            # Even an empty first write sends the headers: a client should know it is connected before there is a token.
            await self.write(self._codec.preamble(self._retry_ms))
            why = await self._serve_or_break()
            if self.left is None:
                self.left = why
                if not self.broken:
                    await self._end(send)
        except asyncio.CancelledError:
            # Ours when the client left or was too slow; anyone else's goes on.
            if not self._cancelled or self._task is None or self._task.uncancel():
                raise
        finally:
            self._task = None
            self._pulse.leave(self)

    async def _end(self, send: Send) -> None:
        """The end has to wait for the peer like everything before it, and no longer."""
        self.sending_since_s = self._loop.time()
        await send({"type": "http.response.body", "body": b""})
        self.sending_since_s = None

    async def _serve_or_break(self) -> Leaving:
        try:
            return await self._serve(self)
        except OSError:
            self.broken = True
            return "disconnected"
        except RealtimeError as error:
            # The status has gone out, so a body that breaks is all that can be said.
            _logger.warning("a stream was broken off: %s", error.error.code)
            self.broken = True
            return "disconnected"

    async def write(self, data: bytes) -> None:
        """Send bytes; waits, up to the pulse's deadline, for a peer that does not read."""
        if self.envelope is not None:
            await self.ready()
            if not self.put(self.envelope(data)):
                raise ConnectionResetError
            return
        assert self._send is not None
        self.sending_since_s = self.quiet_since_s = self._loop.time()
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
        self.sending_since_s = None

    def put(self, data: bytes) -> bool:
        """See `Sink`."""
        assert self._short_way is not None
        self.quiet_since_s = self._loop.time()
        return self._short_way.put(data)

    async def ready(self) -> None:
        """See `Sink`; waits no longer than the pulse's deadline."""
        if self._short_way is not None:
            self.sending_since_s = self._loop.time()
            await self._short_way.drain()
            self.sending_since_s = None

    async def _watch(self, receive: Receive) -> None:
        await disconnected(receive)
        self._leave("disconnected")

    def _leave(self, why: Leaving) -> None:
        if self.left is None:
            self.left = why
            self._cancel()

    def _cancel(self) -> None:
        if self._task is not None and not self._cancelled:
            self._cancelled = True
            self._task.cancel()

    def beat(self) -> None:
        """A heartbeat is due."""
        self.quiet_since_s = self._loop.time()
        if self.target is not None:
            self.target.wake("heartbeat")

    def too_slow(self) -> None:
        """The peer has not read for longer than the send deadline; it may be the end that waits."""
        self.left = "too_slow"
        self._cancel()

    def say_bye(self) -> None:
        """Ask the client to leave and come back."""
        self._leaving = True
        if self.target is not None:
            self.target.wake("bye")


async def serve_observation(
    stream: HttpStream,
    observation: Observation,
    codec: Codec,
    options: ObserveOptions,
    *,
    pulse: Pulse,
    bye: Callable[[], Bye],
) -> Leaving:
    """Serve one observation over a stream, to its end, and close it."""
    pump = Pump(observation, codec, options, pulse=pulse, sink=stream, bye=bye)
    stream.target = pump
    why: Leaving | None = None
    try:
        why = await pump.run()
        return why
    finally:
        if codec.breaks_on_failure and (not observation.done or pump.was_reset or _failed(observation)):
            stream.broken = True
        stream.target = None
        observation.close(why or stream.left or "disconnected")


def _failed(observation: Observation) -> bool:
    finished = observation.log.finished
    return finished is not None and finished.outcome == "failed"
