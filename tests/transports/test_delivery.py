"""The short way: what a peer that keeps up gets in the log's own call, and when the pump's loop takes over."""

import asyncio
import logging
from typing import Any

import pytest

from realtime.events import Entry, Text
from realtime.frames import Envelope
from realtime.hooks import Hooks
from realtime.log import EventLog
from realtime.observation import Observation
from tests.unit.logs import DONE, make_log
from transports.codec import Bye
from transports.ndjson import NDJSON, Ndjson
from transports.options import ObserveOptions
from transports.pulse import Pulse
from transports.pump import MAX_SLICE_BYTES, Pump

PATIENCE_S = 20


def braced(data: bytes) -> bytes:
    """An envelope that can be told from what is in it."""
    return b"<%b>" % data if data else b""


async def turn() -> None:
    """Let the loop go round once."""
    await asyncio.sleep(0)


class Peer:
    """A sink with a short way, which can be made not to read."""

    envelope: Envelope | None = staticmethod(braced)

    def __init__(self) -> None:
        self.puts: list[bytes] = []
        self.writes: list[bytes] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.gone = False
        self.waited = 0

    def put(self, data: bytes) -> bool:
        """See `Sink`."""
        if self.gone or not self.reads.is_set():
            return False
        self.puts.append(data)
        return True

    async def ready(self) -> None:
        """See `Sink`."""
        self.waited += 1
        await self.reads.wait()
        if self.gone:
            raise ConnectionResetError

    async def write(self, data: bytes) -> None:
        """See `Sink`."""
        self.writes.append(data)

    @property
    def events(self) -> list[int]:
        """How many events each slice held."""
        return [put.count(b"\n") for put in self.puts]


class Pumped:
    """A pump at work, whose task's wakings are counted."""

    def __init__(self, log: EventLog, **options: Any) -> None:
        self.log, self.peer, self.pulse = log, Peer(), Pulse()
        self.observation = Observation(log, None, wire="test", hooks=Hooks())
        self.pump = Pump(
            self.observation,
            options.pop("codec", NDJSON),
            ObserveOptions(**options),
            pulse=self.pulse,
            sink=self.peer,
            bye=lambda: Bye("draining", 1500),
        )
        self.task = asyncio.ensure_future(self.pump.run())

    async def caught_up(self) -> None:
        """Wait until it holds everything there is."""
        async with asyncio.timeout(PATIENCE_S):
            while self.observation.seq < self.log.head:
                await turn()
        await turn()

    async def append(self, *texts: str) -> None:
        """Append in one turn of the loop, and let the log tell of it."""
        for text in texts:
            self.log.append(Text(text), 9)
        for _ in range(3):
            await asyncio.sleep(0)


async def test_live_slices_take_the_short_way_and_wake_nobody() -> None:
    """In their envelope, one for each turn; history and the end are the loop's."""
    pumped = Pumped(make_log())
    await pumped.caught_up()
    before = pumped.peer.waited
    await pumped.append("a")
    await pumped.append("b", "c")
    assert pumped.peer.waited == before
    pumped.log.append(DONE, 9)
    assert await pumped.task == "finished"
    assert pumped.peer.events == [2, 1, 2, 1]
    assert all(put.startswith(b"<") and put.endswith(b">") for put in pumped.peer.puts)
    assert [write.count(b'"position"') for write in pumped.peer.writes] == [1]


async def test_a_thousand_share_what_one_is_given() -> None:
    """The same object, not an equal one: memory and encoding are paid once."""
    log = make_log()
    many = [Pumped(log) for _ in range(300)]
    for pumped in many:
        await pumped.caught_up()
    await pumped.append("a")
    for pumped in many:
        await pumped.caught_up()
    assert len({id(pumped.peer.puts[-1]) for pumped in many}) == 1
    log.append(DONE, 9)
    assert {await pumped.task for pumped in many} == {"finished"}


async def test_nothing_is_taken_for_a_peer_that_does_not_read() -> None:
    """It is waited for first; then it gets what it missed in one slice, and is delivered to again."""
    pumped = Pumped(make_log())
    await pumped.caught_up()
    pumped.peer.reads.clear()
    for text in "abcdef":
        await pumped.append(text)
    assert pumped.observation.seq == 2
    pumped.peer.reads.set()
    await pumped.caught_up()
    waited = pumped.peer.waited
    await pumped.append("g")
    assert pumped.peer.waited == waited
    assert pumped.peer.events == [2, 6, 1]
    pumped.task.cancel()


async def test_what_is_more_than_a_slice_is_the_loops() -> None:
    """And goes in pieces; one event that is larger by itself needs no pieces."""
    pumped = Pumped(make_log())
    await pumped.caught_up()
    before = pumped.peer.waited
    await pumped.append("x" * 2 * MAX_SLICE_BYTES)
    assert pumped.peer.waited == before
    await pumped.append(*["y" * (MAX_SLICE_BYTES // 2)] * 3)
    await pumped.caught_up()
    assert pumped.peer.waited > before
    assert pumped.peer.events == [2, 1, 1, 1, 1]
    pumped.task.cancel()


async def test_a_flush_delivers_at_its_tick() -> None:
    """The first at once; what gathered until the tick as one; after a tick with nothing, at once again."""
    pumped = Pumped(make_log(), flush_ms=10_000)
    await pumped.caught_up()
    pumped.pulse._release(10_000)
    waited = pumped.peer.waited
    for text in "abc":
        await pumped.append(text)
    assert pumped.peer.events == [2, 1]
    pumped.pulse._release(10_000)
    assert pumped.peer.events == [2, 1, 2]
    pumped.pulse._release(10_000)
    await pumped.append("d")
    assert pumped.peer.events == [2, 1, 2, 1]
    assert pumped.peer.waited == waited
    pumped.log.append(DONE, 9)
    for _ in range(3):
        await asyncio.sleep(0)
    assert not pumped.task.done()
    pumped.pulse._release(10_000)
    assert await pumped.task == "finished"


async def test_a_goodbye_reaches_one_that_is_delivered_to() -> None:
    """After everything it was given."""
    pumped = Pumped(make_log())
    await pumped.caught_up()
    pumped.pump.wake("bye")
    pumped.log.append(Text("a"), 9)
    assert await pumped.task == "bye"
    assert b'"bye"' in pumped.peer.writes[-1]


@pytest.mark.parametrize("options", [{"pace": "5"}, {"view": "json"}])
async def test_views_and_paces_are_the_loops(options: dict[str, str]) -> None:
    """They have more to do than to write what comes."""
    pumped = Pumped(make_log(), **options)
    await asyncio.sleep(0)
    assert not pumped.pump._delivers
    pumped.task.cancel()


async def test_one_that_has_gone_ends_it() -> None:
    """Nothing is taken as sent."""
    pumped = Pumped(make_log())
    await pumped.caught_up()
    pumped.peer.gone = True
    await pumped.append("a")
    with pytest.raises(ConnectionResetError):
        await pumped.task


class Failing(Ndjson):
    """A codec that some event is too much for."""

    def frame(self, epoch: str, entry: Entry, /) -> bytes:
        if entry.event == Text("bad"):
            raise ZeroDivisionError
        return super().frame(epoch, entry)


async def test_a_failure_is_that_observers_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever is told after it is told, and the failure comes out of its own task."""
    log = make_log()
    failing, other = Pumped(log, codec=Failing()), Pumped(log)
    await failing.caught_up()
    await other.caught_up()
    with caplog.at_level(logging.ERROR):
        await failing.append("bad")
        await other.caught_up()
        with pytest.raises(ZeroDivisionError):
            await failing.task
    assert other.peer.events == [2, 1]
    other.task.cancel()
