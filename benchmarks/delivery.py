"""The live path as a step: an event is appended, and everyone who watches has it as bytes before the next one comes.

Ours is the product's own: the log tells its watchers, each observation's pump takes the slice in its envelope, which is
made once, and puts it into a sink that counts. Beside it is what a tutorial does, on the same loop.
"""

import asyncio
import json
import weakref
from collections.abc import Callable, Coroutine
from functools import partial

from realtime.events import Attempt, Entry, Finished, Started, Text
from realtime.frames import Envelope
from realtime.hooks import Hooks
from realtime.log import EventLog, Meta
from realtime.observation import Observation
from transports.codec import Bye
from transports.options import ObserveOptions
from transports.pulse import Pulse
from transports.pump import Pump
from transports.sse import SSE

EPOCH = "mfw8j3k2"
WORD = " streaming"


def as_dict(entry: Entry) -> dict[str, object]:
    """An event as one would write it by hand."""
    assert isinstance(entry.event, Text)
    return {"id": f"{EPOCH}-{entry.seq}", "type": "text", "at": entry.at, "text": entry.event.text}


def new_log() -> EventLog:
    """A log whose content is about to come."""
    meta = Meta("0" * 32, "default", None, "demo", "demo/default", 1_770_000_000_000)
    log = EventLog(meta, EPOCH, limit_bytes=None)
    log.append(Started(meta.generation, meta.model, meta.created_ms), 0)
    log.append(Attempt(1, "demo", "default"), 0)
    return log


def delivery_steps(chunks: int, observers: int) -> dict[str, Callable[[], int]]:
    """Both ways, on a loop of their own that is closed when they are gone."""
    loop = asyncio.new_event_loop()

    def on_the_loop(step: Callable[[int, int], Coroutine[None, None, int]]) -> int:
        return loop.run_until_complete(step(chunks, observers))

    weakref.finalize(on_the_loop, loop.close)
    return {"queues and tasks": partial(on_the_loop, _to_tasks), "ours, SSE": partial(on_the_loop, _to_pumps)}


class _Arrivals:
    """Counts what arrives, and says when everyone has it."""

    def __init__(self, observers: int) -> None:
        self._observers = observers
        self._left = 0
        self._all: asyncio.Future[None] | None = None

    def expect(self) -> asyncio.Future[None]:
        """A future that is done when everyone has been written to once more."""
        self._left = self._observers
        self._all = asyncio.get_running_loop().create_future()
        return self._all

    def write(self, _data: bytes | str) -> None:
        """Somebody has been written to."""
        self._left -= 1
        if self._left == 0 and self._all is not None:
            self._all.set_result(None)


class _CountingSink:
    """See `Sink`: a peer that keeps up with everything."""

    envelope: Envelope | None = staticmethod(lambda data: b"%x\r\n%b\r\n" % (len(data), data))

    def __init__(self, arrivals: _Arrivals) -> None:
        self._arrivals = arrivals

    def put(self, data: bytes) -> bool:
        """See `Sink`."""
        self._arrivals.write(data)
        return True

    async def ready(self) -> None:
        """See `Sink`."""

    async def write(self, data: bytes) -> None:
        """See `Sink`."""


async def _to_pumps(chunks: int, observers: int) -> int:
    log, pulse, arrivals = new_log(), Pulse(), _Arrivals(observers)
    pumps = []
    for _ in range(observers):
        observation = Observation(log, None, wire="sse", hooks=Hooks())
        bye = partial(Bye, "draining", 0)
        pump = Pump(observation, SSE, ObserveOptions(), pulse=pulse, sink=_CountingSink(arrivals), bye=bye)
        pumps.append(asyncio.ensure_future(pump.run()))
    await arrivals.expect()
    # Each has the beginning, and waits from the next turn on.
    await asyncio.sleep(0)
    for seq in range(1, chunks + 1):
        arrived = arrivals.expect()
        log.append(Text(WORD), seq)
        await arrived
    log.append(Finished("completed", "stop"), 0)
    await asyncio.gather(*pumps)
    return chunks


async def _to_tasks(chunks: int, observers: int) -> int:
    queues: list[asyncio.Queue[str | None]] = [asyncio.Queue() for _ in range(observers)]
    arrivals = _Arrivals(observers)
    writing = [asyncio.ensure_future(_write_all(queue, arrivals)) for queue in queues]
    for seq in range(1, chunks + 1):
        arrived = arrivals.expect()
        data = json.dumps(as_dict(Entry(seq, seq, Text(WORD))))
        for queue in queues:
            queue.put_nowait(data)
        await arrived
    for queue in queues:
        queue.put_nowait(None)
    await asyncio.gather(*writing)
    return chunks


async def _write_all(queue: asyncio.Queue[str | None], arrivals: _Arrivals) -> None:
    while (data := await queue.get()) is not None:
        arrivals.write(f"data: {data}\n\n")
