"""The loop between a log and a connection, the same for every wire: position, history, then slices as they come.

It keeps no copy of anything. A slow peer makes it wait in `send`; when it comes back it takes everything it missed as
one slice. How bytes reach the peer is the shell's business.
"""

import asyncio
from collections.abc import Awaitable, Callable

from realtime.hooks import Leaving
from realtime.observation import Observation

from .codec import Bye, Codec, Control, Heartbeat, Position
from .json_view import JsonView
from .merged import merge
from .options import ObserveOptions
from .pulse import Pulse

Send = Callable[[bytes], Awaitable[None]]


class Pump:
    """Drives one observation over one connection.

    Args:
        send: Writes bytes to the peer; waits while the peer does not read.
        bye: Made when the observation is asked to leave, with a time to come back that is spread over its peers.
    """

    def __init__(
        self,
        observation: Observation,
        codec: Codec,
        options: ObserveOptions,
        *,
        pulse: Pulse,
        send: Send,
        bye: Callable[[], Bye],
    ) -> None:
        self._observation = observation
        self._codec = codec
        self._options = options
        self._pulse = pulse
        self._send = send
        self._bye = bye
        self._bucket = options.bucket()
        self._view = JsonView.of(observation.log) if options.view == "json" else None
        self._view_version = 0
        self._flushed = False

    async def run(self) -> Leaving:
        """Serve the observer until it has the terminal event or the server says goodbye.

        Returns:
            `finished` or `bye`; other ways to leave are the shell's to notice.
        """
        observation = self._observation
        await self._control(self._position())
        if self._options.replay == "merged":
            await self._send_merged()
        while not observation.done:
            await observation.changed()
            if observation.nudge is not None and await self._act_on_nudge():
                return "bye"
            if observation.seq < observation.log.head:
                await self._send_slice()
            await self._send_view()
        await self._send_view()
        return "finished"

    def _position(self) -> Position:
        observation = self._observation
        log, reset = observation.log, observation.reset
        held = observation.cursor
        observation.reset = None
        return Position(log.meta.generation, held, log.cursor, log.state, reset)

    async def _control(self, frame: Control) -> None:
        data = self._codec.control(frame)
        if data:
            await self._send(data)

    async def _act_on_nudge(self) -> bool:
        nudge, self._observation.nudge = self._observation.nudge, None
        if nudge == "bye":
            await self._control(self._bye())
            return True
        await self._control(Heartbeat())
        return False

    async def _send_merged(self) -> None:
        """History up to this moment with its deltas joined; what comes later comes as it is."""
        observation, codec = self._observation, self._codec
        log = observation.log
        head, entries = log.head, log.since(observation.seq)
        frames = [codec.frame(log.epoch, entry) for entry in merge(entries)]
        observation.move(head)
        if frames:
            await self._send_nonempty(codec.join(log.meta.generation, frames))

    async def _send_slice(self) -> None:
        observation = self._observation
        if observation.seq < observation.log.trimmed:
            observation.reset, observation.seq = "trimmed", observation.log.trimmed
            await self._control(self._position())
        limit = None
        if self._bucket is not None:
            behind = observation.log.head - observation.seq
            limit, wait_s = self._bucket.take(asyncio.get_running_loop().time(), behind)
            if not limit:
                await asyncio.sleep(wait_s)
                return
        elif self._options.flush_ms and self._flushed:
            await self._pulse.tick(self._options.flush_ms)
        self._flushed = True
        await self._send_nonempty(observation.take(self._codec, limit))

    async def _send_nonempty(self, data: bytes) -> None:
        if data:
            await self._send(data)

    async def _send_view(self) -> None:
        newer = self._view.newer(self._view_version) if self._view is not None else None
        # The log may be over while a paced observer is not: its final value comes after its last event.
        if newer is not None and (self._observation.done or not newer[1].final):
            self._view_version, frame = newer
            await self._control(frame)
