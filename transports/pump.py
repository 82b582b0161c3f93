"""The loop between a log and a connection, the same for every wire: position, history, then slices as they come.

It keeps no copy of anything. A slow peer makes it wait, and is given nothing until it reads; when it comes back it
takes what it missed in a few large slices. How bytes reach the peer is the sink's business.

The loop is for what happens now and then. While a peer keeps up, and its sink has a short way, `_deliver` sends each
slice in the log's own call and the loop sleeps.
"""

import asyncio
from collections.abc import Callable, Iterator

from realtime.hooks import Leaving
from realtime.observation import Nudge, Observation

from .codec import Bye, Codec, Control, Heartbeat, Position
from .json_view import LEAST_MS, JsonView
from .merged import merge
from .options import ObserveOptions
from .pulse import Pulse
from .sink import Sink

# What one write may hold. A peer that does not read keeps one slice in this process beside what the kernel takes, and a
# peer whose link breaks often must be able to get at least one across.
MAX_SLICE_BYTES = 16 * 1024
# Id, type, time and the wire's own lines, on the wire that takes the most.
FRAME_BYTES = 100


class Pump:
    """Drives one observation over one connection.

    Args:
        sink: The way to the peer.
        bye: Made when the observation is asked to leave, with a time to come back that is spread over its peers.

    Attributes:
        was_reset: Whether the observer was told to forget what it has, if its wire could tell it.
    """

    __slots__ = (
        "_bucket", "_bye", "_codec", "_flush_ms", "_observation", "_options", "_pause", "_pulse", "_resting", "_sink",
        "_view", "_view_tick", "_view_version", "was_reset",
    )  # fmt: skip

    def __init__(
        self,
        observation: Observation,
        codec: Codec,
        options: ObserveOptions,
        *,
        pulse: Pulse,
        sink: Sink,
        bye: Callable[[], Bye],
    ) -> None:
        self._observation = observation
        self._codec = codec
        self._options = options
        self._pulse = pulse
        self._sink = sink
        self._bye = bye
        self.was_reset = False
        self._bucket = options.bucket()
        self._flush_ms = options.flush_ms
        self._pause: asyncio.Future[None] | None = None
        self._view = JsonView.of(observation.log) if options.view == "json" else None
        self._view_version = 0
        self._view_tick: asyncio.Future[None] | None = None
        # Whether this observer has had its write, and waits for the next tick.
        self._resting = False
        if self._bucket is not None or self._flush_ms:
            observation.at_own_pace()

    async def run(self) -> Leaving:
        """Serve the observer until it has the terminal event or the server says goodbye.

        Returns:
            `finished`, `bye`, or `too_slow` when what it wanted next is gone and its wire cannot say so. Other
            ways to leave are the shell's to notice.
        """
        observation = self._observation
        await self._control(self._position())
        if self._options.replay == "merged":
            if await self._lost_its_place():
                return "too_slow"
            await self._send_merged()
        while not observation.done:
            await observation.changed(self._deliver if self._delivers else None)
            if observation.nudge is not None and await self._act_on_nudge():
                return "bye"
            if observation.seq < observation.log.head:
                await self._until_due()
                await self._sink.ready()
                if await self._lost_its_place():
                    return "too_slow"
                await self._send_slice()
            await self._send_view()
        await self._send_view()
        return "finished"

    @property
    def _delivers(self) -> bool:
        """Whether nothing stands between an append and its write: no pace, no view, no coroutines."""
        return self._bucket is None and self._view is None and self._sink.envelope is not None

    def _deliver(self) -> bool:
        """Send what there is as one write, or leave it to the next tick; False when it is the loop's business."""
        if self._resting:
            return True
        observation, sink = self._observation, self._sink
        log, seq = observation.log, observation.seq
        head = log.head
        if log.finished is not None or seq < log.trimmed:
            return False
        if seq == head:
            return True
        data = log.slice(self._codec, seq, head, sink.envelope)
        if (len(data) > MAX_SLICE_BYTES and head - seq > 1) or not sink.put(data):
            return False
        observation.move(head)
        if self._flush_ms:
            self._rest_until_tick()
        return True

    def _rest_until_tick(self) -> None:
        self._resting = True
        self._pulse.at_tick(self._flush_ms, self._tick)

    def _tick(self) -> None:
        self._resting = False
        self._observation.moved()

    def wake(self, nudge: Nudge, /) -> None:
        """Pass a nudge on to the observation; a goodbye also ends a pause between two writes."""
        self._observation.wake(nudge)
        if nudge == "bye" and self._pause is not None:
            _finish(self._pause)

    def _position(self) -> Position:
        observation = self._observation
        log, reset = observation.log, observation.reset
        self.was_reset = self.was_reset or reset is not None
        held = observation.cursor
        observation.reset = None
        return Position(log.meta.generation, held, log.cursor, log.state, reset)

    async def _control(self, frame: Control) -> None:
        await self._send_nonempty(self._codec.control(frame))

    async def _act_on_nudge(self) -> bool:
        nudge, self._observation.nudge = self._observation.nudge, None
        if nudge == "heartbeat":
            # When it is a tick of the view's, the value goes instead.
            if self._view_tick is None or not self._view_tick.done():
                await self._control(Heartbeat())
            return False
        if self._observation.log.finished is None:
            await self._control(self._bye())
            return True
        # There is nothing to come back for: the log may die with this process. So the rest goes now, at any pace.
        self._bucket, self._flush_ms, self._resting = None, 0, False
        return False

    async def _rest(self, pause: asyncio.Future[None]) -> None:
        """Await a pause, which a goodbye ends early."""
        self._pause = pause
        try:
            await pause
        finally:
            self._pause = None

    async def _send_merged(self) -> None:
        """History up to this moment with its deltas joined; what comes later comes as it is."""
        observation, codec = self._observation, self._codec
        log = observation.log
        head, entries = log.head, log.since(observation.seq)
        frames = [codec.frame(log.branches.at(entry.seq), entry) for entry in merge(entries)]
        observation.move(head)
        for group in _grouped(frames):
            await self._send_nonempty(codec.join(log.meta.generation, group))

    async def _until_due(self) -> None:
        """Wait for this observer's next flush."""
        if self._bucket is None and self._resting:
            await self._rest(self._pulse.tick(self._flush_ms))

    async def _lost_its_place(self) -> bool:
        """Tell it to begin again if what comes next is no longer kept; True when its wire has no words for that."""
        observation = self._observation
        lost = False
        # Saying so may have to wait for the peer, and the log goes on.
        while observation.seq < observation.log.trimmed:
            lost = True
            observation.reset, observation.seq = "trimmed", observation.log.trimmed
            await self._control(self._position())
        return lost and self._codec.breaks_on_failure

    async def _send_slice(self) -> None:
        observation = self._observation
        limit = self._most()
        # The slices of one flush follow each other: a tick between them would make a long history take minutes.
        flushed = observation.seq + limit >= observation.log.head
        if self._bucket is not None:
            limit, wait_s = self._bucket.take(asyncio.get_running_loop().time(), limit)
            if not limit:
                await self._rest(_after(wait_s))
                return
        await self._send_next(limit)
        if self._flush_ms and flushed and not self._resting:
            self._rest_until_tick()

    async def _send_next(self, count: int) -> None:
        observation, sink = self._observation, self._sink
        if sink.envelope is None:
            await self._send_nonempty(observation.take(self._codec, count))
            return
        data = observation.take(self._codec, count, sink.envelope)
        while not sink.put(data):
            # It was ready a moment ago, but other pumps write to the same socket.
            await sink.ready()

    def _most(self) -> int:
        """How many events the next slice may hold."""
        observation = self._observation
        log, seq = observation.log, observation.seq
        behind = log.head - seq
        # One who keeps up has an event or two to take; only one who is behind is worth measuring.
        return behind if behind == 1 else log.fitting(seq, MAX_SLICE_BYTES, FRAME_BYTES) - seq

    async def _send_nonempty(self, data: bytes) -> None:
        if data:
            await self._sink.write(data)

    async def _send_view(self) -> None:
        if self._view is None:
            return
        newer = self._view.newer(self._view_version)
        # The log may be over while a paced observer is not: its final value comes after its last event.
        if newer is not None and (self._observation.done or not newer[1].final):
            self._view_version, frame = newer
            await self._control(frame)
        if self._view.pending:
            self._arm_view()
        elif self._view_tick is not None and self._view_tick.done():
            self._view_tick = None

    def _arm_view(self) -> None:
        """Be woken when a value that is not due yet is: no event may come after it. One tick at a time, not one each
        event."""
        if self._view_tick is None or self._view_tick.done():
            self._view_tick = self._pulse.tick(LEAST_MS)
            self._view_tick.add_done_callback(lambda _: self._observation.wake("heartbeat"))


def _after(seconds: float) -> asyncio.Future[None]:
    """A future that is done after that time."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    loop.call_later(seconds, _finish, future)
    return future


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _grouped(frames: list[bytes]) -> Iterator[list[bytes]]:
    """Frames in groups that each fit a slice; one that is larger by itself is a group."""
    group: list[bytes] = []
    size = 0
    for frame in frames:
        if group and size + len(frame) > MAX_SLICE_BYTES:
            yield group
            group, size = [], 0
        group.append(frame)
        size += len(frame)
    if group:
        yield group
