"""The loop between a log and a connection: what it sends, in which order, and when it waits."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from realtime.cursor import parse_cursor
from realtime.events import Content, Text
from realtime.frames import Envelope
from realtime.hooks import Hooks, Leaving
from realtime.log import EventLog
from realtime.observation import Observation
from tests.unit.logs import DONE, make_log
from transports.codec import Bye, Codec
from transports.ndjson import NDJSON
from transports.options import ObserveOptions
from transports.pulse import Pulse
from transports.pump import MAX_SLICE_BYTES, Pump
from transports.text import TEXT

PATIENCE_S = 20


class Peer:
    """A sink that takes the long way: keeps the writes, and can be made not to read."""

    envelope: Envelope | None = None

    def __init__(self) -> None:
        self.gone = False
        self.writes: list[bytes] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self._more = asyncio.Event()

    def put(self, data: bytes) -> bool:
        """Take one write that cannot wait."""
        raise AssertionError(f"{data!r} took the short way")

    async def ready(self) -> None:
        """It cannot be told beforehand whether it reads."""

    async def write(self, data: bytes) -> None:
        """Take one write."""
        if self.gone:
            raise ConnectionResetError
        self._keep(data)
        await self.reads.wait()

    def _keep(self, data: bytes) -> None:
        assert data, "an empty write"
        self.writes.append(data)
        self._more.set()

    @property
    def frames(self) -> list[dict[str, Any]]:
        """Every frame so far."""
        return [json.loads(line) for line in b"".join(self.writes).splitlines()]

    @property
    def ids(self) -> list[int]:
        """The numbers of the events so far."""
        return [int(frame["id"].partition("-")[2]) for frame in self.frames if "id" in frame]

    @property
    def types(self) -> list[str]:
        """The types of all frames so far."""
        return [frame["type"] for frame in self.frames]

    async def until(self, writes: int) -> None:
        """Wait for that many writes."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.writes) < writes:
                self._more.clear()
                await self._more.wait()


class Pumped:
    """A pump at work."""

    def __init__(self, log: EventLog, options: ObserveOptions, codec: Codec) -> None:
        self.log = log
        self.peer = Peer()
        self.observation = Observation(log, options.cursor(), wire="test", hooks=Hooks())
        self.pulse = Pulse()
        self._pump = Pump(
            self.observation,
            codec,
            options,
            pulse=self.pulse,
            sink=self.peer,
            bye=lambda: Bye("draining", 1500),
        )
        self.task = asyncio.ensure_future(self._pump.run())

    async def ended(self) -> Leaving:
        """How it ended."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.task


@asynccontextmanager
async def pumping(log: EventLog, codec: Codec = NDJSON, /, **options: Any) -> AsyncIterator[Pumped]:
    """Pump a log while the block lasts."""
    pumped = Pumped(log, ObserveOptions(**options), codec)
    try:
        yield pumped
    finally:
        pumped.task.cancel()
        await asyncio.wait([pumped.task])
        pumped.observation.close("disconnected")


def letters(text: str) -> list[Content]:
    """A delta for each letter."""
    return [Text(letter) for letter in text]


async def test_position_first_then_everything_in_one_slice() -> None:
    """A finished log is two writes, and the pump ends by itself."""
    async with pumping(make_log([*letters("ab"), DONE])) as pumped:
        assert await pumped.ended() == "finished"
        assert len(pumped.peer.writes) == 2
        position, *events = pumped.peer.frames
        assert (position["type"], position["cursor"], position["head"]) == ("position", "e-0", "e-5")
        assert (position["state"], position["reset"]) == ("finished", None)
        assert [event["type"] for event in events] == ["started", "attempt", "text", "text", "finished"]
        assert pumped.peer.ids == [1, 2, 3, 4, 5]


async def test_it_goes_on_after_a_cursor() -> None:
    """The position says what the observer holds, and only what comes after it is sent."""
    async with pumping(make_log([*letters("abc"), DONE]), after="e-4") as pumped:
        assert await pumped.ended() == "finished"
        assert pumped.peer.frames[0]["cursor"] == "e-4"
        assert pumped.peer.ids == [5, 6]


async def test_live_events_come_as_they_are_appended() -> None:
    """Those of one turn of the loop as one slice; the terminal event is the last."""
    async with pumping(make_log()) as pumped:
        await pumped.peer.until(2)
        for count, text in enumerate(("a", "bcd", "e"), 3):
            for event in letters(text):
                pumped.log.append(event, 9)
            await pumped.peer.until(count)
        pumped.log.append(DONE, 9)
        assert await pumped.ended() == "finished"
        assert [write.count(b"\n") for write in pumped.peer.writes] == [1, 2, 1, 3, 1, 1]
        assert pumped.peer.ids == list(range(1, 9))


async def test_a_slow_peer_gets_what_it_missed_as_one_slice() -> None:
    """Nothing is queued for it while it does not read."""
    async with pumping(make_log()) as pumped:
        await pumped.peer.until(2)
        pumped.peer.reads.clear()
        for event in letters("abcdef"):
            pumped.log.append(event, 9)
            await pumped.peer.until(3)
        pumped.peer.reads.set()
        pumped.log.append(DONE, 9)
        assert await pumped.ended() == "finished"
        assert len(pumped.peer.writes) == 4
        assert pumped.peer.ids == list(range(1, 10))


@pytest.mark.parametrize(("after", "reset"), [("x-2", "branch"), ("e-99", "branch")])
async def test_a_foreign_cursor_is_told_so_and_given_the_whole(after: str, reset: str) -> None:
    """The reset is in the first frame, and is said once."""
    async with pumping(make_log([Text("a"), DONE]), after=after) as pumped:
        await pumped.ended()
        assert pumped.peer.frames[0]["reset"] == reset
        assert pumped.peer.frames[0]["cursor"] == "e-0"
        assert pumped.peer.ids == [1, 2, 3, 4]
        assert pumped.peer.types.count("position") == 1
        assert (pumped.observation.reset, pumped.observation.cursor) == (None, "e-4")


async def test_one_whose_place_was_trimmed_is_reset_in_mid_stream() -> None:
    """A second position, with its cursor at 0, before what is still kept: no gap goes unsaid."""
    log = make_log(limit_bytes=None, retain="window")
    async with pumping(log) as pumped:
        await pumped.peer.until(2)
        pumped.peer.reads.clear()
        log.append(Text("x"), 9)
        await pumped.peer.until(3)
        for event in letters("y" * 600):
            log.append(event, 9)
        log.trim(500)
        log.append(DONE, 9)
        pumped.peer.reads.set()
        assert await pumped.ended() == "finished"
        assert pumped.peer.ids == [1, 2, 3, *range(501, 605)]
        resets = [(n, frame) for n, frame in enumerate(pumped.peer.frames) if frame.get("reset")]
        assert [(n, frame["cursor"], frame["reset"]) for n, frame in resets] == [(4, "e-0", "trimmed")]


async def test_history_is_merged_and_what_follows_is_not() -> None:
    """The line is the head as the observer came; nothing is lost or doubled at it."""
    log = make_log(letters("Hello"))
    async with pumping(log, replay="merged") as pumped:
        await pumped.peer.until(2)
        for event in (*letters("yes"), DONE):
            log.append(event, 9)
        assert await pumped.ended() == "finished"
        texts = [frame["text"] for frame in pumped.peer.frames if frame["type"] == "text"]
        assert texts == ["Hello", "y", "e", "s"]
        assert pumped.peer.ids == [1, 2, 7, 8, 9, 10, 11]


async def test_merged_after_a_cursor() -> None:
    """Only what the observer lacks is joined; one who lacks nothing gets no empty write."""
    log = make_log(letters("Hello"))
    async with pumping(log, replay="merged", after="e-4") as pumped:
        await pumped.peer.until(2)
        assert [frame["text"] for frame in pumped.peer.frames[1:]] == ["llo"]
    async with pumping(log, replay="merged", after="e-7") as pumped:
        await pumped.peer.until(1)
        log.append(DONE, 9)
        assert await pumped.ended() == "finished"
        assert pumped.peer.types == ["position", "finished"]


async def test_a_heartbeat_and_a_goodbye() -> None:
    """Both are frames; the first goes on, the second is the last, though there was more to come."""
    async with pumping(make_log(letters("a"))) as pumped:
        await pumped.peer.until(2)
        pumped.observation.wake("heartbeat")
        await pumped.peer.until(3)
        pumped.log.append(Text("b"), 9)
        await pumped.peer.until(4)
        pumped.observation.wake("bye")
        assert await pumped.ended() == "bye"
        assert pumped.peer.types[-3:] == ["heartbeat", "text", "bye"]
        assert pumped.peer.frames[-1] == {"type": "bye", "reason": "draining", "retry_ms": 1500}


async def test_a_wire_without_control_frames_gets_no_empty_writes() -> None:
    """`text` has no room for a position, a heartbeat or a goodbye, and is sent the answer alone."""
    async with pumping(make_log(letters("ab")), TEXT) as pumped:
        await pumped.peer.until(1)
        pumped.observation.wake("heartbeat")
        pumped.log.append(Text("c"), 9)
        await pumped.peer.until(2)
        pumped.observation.wake("bye")
        assert await pumped.ended() == "bye"
        assert pumped.peer.writes == [b"ab", b"c"]


async def test_pace_smooths() -> None:
    """A burst at once and then single events, though all were there; the order and the whole are the same."""
    async with pumping(make_log([*letters("abcdefgh"), DONE]), pace="1000,3") as pumped:
        assert await pumped.ended() == "finished"
        sizes = [write.count(b"\n") for write in pumped.peer.writes]
        assert sizes[:2] == [1, 3]
        assert len(sizes) > 3
        assert max(sizes[2:]) <= 3
        assert pumped.peer.ids == list(range(1, 12))


async def test_pace_takes_its_time() -> None:
    """At 100 a second, ten more than the burst are not there before a tenth of a second has passed."""
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    async with pumping(make_log([*letters("abcdefg"), DONE]), pace="100,1") as pumped:
        await pumped.ended()
        assert loop.time() - begun_s >= 0.085
        assert pumped.peer.ids == list(range(1, 11))


async def test_flush_sends_the_first_at_once_and_then_by_the_tick() -> None:
    """What gathers between two ticks is one write."""
    async with pumping(make_log(), flush_ms=10_000) as pumped:
        await pumped.peer.until(2)
        for event in letters("abc"):
            pumped.log.append(event, 9)
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(pumped.peer.writes) == 2
        pumped.pulse._release(10_000)
        await pumped.peer.until(3)
        assert pumped.peer.ids == [1, 2, 3, 4, 5]
        pumped.log.append(DONE, 9)
        for _ in range(5):
            await asyncio.sleep(0)
        pumped.pulse._release(10_000)
        assert await pumped.ended() == "finished"


async def test_a_flush_of_several_slices_waits_for_one_tick() -> None:
    """A long history is there at once, and so is what gathered between two ticks, however much it is."""
    async with pumping(make_log([Text("x" * 7_000)] * 9), flush_ms=10_000) as pumped:
        await pumped.peer.until(6)
        assert pumped.peer.ids == list(range(1, 12))
        for _ in range(9):
            pumped.log.append(Text("y" * 7_000), 9)
        pumped.log.append(DONE, 9)
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(pumped.peer.writes) == 6
        pumped.pulse._release(10_000)
        assert await pumped.ended() == "finished"
        assert pumped.peer.ids == list(range(1, 22))


@pytest.mark.parametrize("replay", [None, "merged"])
async def test_no_slice_is_over_its_bound(replay: str | None) -> None:
    """A long history comes in pieces, whole and in order; an event that is larger by itself comes alone."""
    sizes = [40_000, 40_000, 100, 100_000, 100, *[1000] * 200]
    async with pumping(make_log([*(Text("x" * size) for size in sizes), DONE]), replay=replay) as pumped:
        assert await pumped.ended() == "finished"
        for write in pumped.peer.writes:
            assert len(write) <= MAX_SLICE_BYTES or write.count(b"\n") == 1
        texts = [frame["text"] for frame in pumped.peer.frames if frame["type"] == "text"]
        assert "".join(texts) == "x" * sum(sizes)
        assert pumped.peer.ids == sorted(set(pumped.peer.ids))
        assert pumped.peer.types[-1] == "finished"


async def test_one_that_is_trimmed_while_it_waits_for_the_tick_is_reset() -> None:
    """Nothing is passed over in silence."""
    log = make_log(limit_bytes=None, retain="window")
    async with pumping(log, flush_ms=10_000) as pumped:
        await pumped.peer.until(2)
        for event in letters("y" * 600):
            log.append(event, 9)
        for _ in range(5):
            await asyncio.sleep(0)
        log.trim(500)
        log.append(DONE, 9)
        pumped.pulse._release(10_000)
        assert await pumped.ended() == "finished"
        assert pumped.peer.frames[3]["reset"] == "trimmed"
        assert pumped.peer.ids == [1, 2, *range(501, 604)]


async def test_views_come_beside_the_events() -> None:
    """The value so far after the events that made it, the final one after the terminal event."""
    async with pumping(make_log(letters('{"a')), view="json") as pumped:
        await pumped.peer.until(3)
        for event in (*letters('":1}'), DONE):
            pumped.log.append(event, 9)
        assert await pumped.ended() == "finished"
        views = [frame for frame in pumped.peer.frames if frame["type"] == "json"]
        assert [(view["value"], view["final"]) for view in views] == [({}, False), ({"a": 1}, True)]
        assert pumped.peer.types[-2:] == ["finished", "json"]
        assert pumped.peer.ids == list(range(1, 11))


async def test_a_paced_observer_gets_the_final_view_after_its_last_event() -> None:
    """Though the log was over before it came."""
    async with pumping(make_log([*letters("[1,2]"), DONE]), view="json", pace="1000,2") as pumped:
        assert await pumped.ended() == "finished"
        assert pumped.peer.types[-2:] == ["finished", "json"]
        assert pumped.peer.types.count("json") == 1
        assert pumped.peer.frames[-1]["value"] == [1, 2]


async def test_what_the_peer_raises_ends_it() -> None:
    """A connection that is gone is the shell's to notice."""
    pumped = Pumped(make_log(), ObserveOptions(), NDJSON)
    pumped.peer.gone = True
    with pytest.raises(ConnectionResetError):
        await pumped.ended()
    assert parse_cursor(pumped.observation.cursor).seq == 0
    pumped.observation.close("disconnected")


async def test_a_value_is_shown_though_nothing_comes_after_it() -> None:
    """One that was not due when its event came is shown once it is, and no heartbeat instead."""
    log = make_log(letters("[1"))
    async with pumping(log, view="json") as pumped:
        await pumped.peer.until(3)
        log.append(Text(",2"), 9)
        log.append(Text(",3"), 9)
        await pumped.peer.until(5)
        assert pumped.peer.types[-2:] == ["text", "json"]
        assert pumped.peer.frames[-1]["value"] == [1, 2, 3]
        assert "heartbeat" not in pumped.peer.types


async def test_a_goodbye_does_not_cut_what_has_ended() -> None:
    """Neither pace nor flush holds the rest back, in a pause that has begun or in one that would."""
    for options in ({"pace": "1"}, {"flush_ms": 10_000}):
        log = make_log(letters("ab"))
        async with pumping(log, **options) as pumped:
            await pumped.peer.until(2)
            for event in (*letters("cd"), DONE):
                log.append(event, 9)
            await asyncio.sleep(0)
            pumped._pump.wake("bye")
            assert await pumped.ended() == "finished"
            assert pumped.peer.ids == list(range(1, log.head + 1))
            assert "bye" not in pumped.peer.types


async def test_a_reset_without_words_ends_it() -> None:
    """Where the wire cannot say that events are missing, the observer was too slow and that is the end."""
    log = make_log(letters("abcdef"))
    async with pumping(log, TEXT) as pumped:
        pumped.peer.reads.clear()
        await pumped.peer.until(1)
        for event in letters("x" * 600):
            log.append(event, 9)
        log.trim(500)
        pumped.peer.reads.set()
        assert await pumped.ended() == "too_slow"
        assert b"".join(pumped.peer.writes) == b"abcdef"


async def test_merged_history_that_was_trimmed_while_the_position_waited_is_reset() -> None:
    """What is joined then lacks its beginning, and the observer is told so first."""
    log = make_log(letters("abcdef"), limit_bytes=None, retain="window")
    async with pumping(log, replay="merged") as pumped:
        pumped.peer.reads.clear()
        await pumped.peer.until(1)
        for event in letters("x" * 600):
            log.append(event, 9)
        log.trim(500)
        log.append(DONE, 9)
        pumped.peer.reads.set()
        assert await pumped.ended() == "finished"
        places = [(frame["cursor"], frame["reset"]) for frame in pumped.peer.frames if frame["type"] == "position"]
        assert places == [("e-0", None), ("e-0", "trimmed")]
        assert pumped.peer.types == ["position", "position", "text", "finished"]
        assert pumped.peer.frames[2]["text"] == "x" * 108


async def test_merged_history_that_was_trimmed_ends_one_without_words() -> None:
    """As anywhere else in the stream."""
    log = make_log(letters("abcdef"))
    async with pumping(log, TEXT, replay="merged") as pumped:
        # Its position is no write, so it has had no turn to wait in.
        for event in letters("x" * 600):
            log.append(event, 9)
        log.trim(500)
        assert await pumped.ended() == "too_slow"
        assert pumped.peer.writes == []
