"""A conversation as one stream: where an observer begins, what follows what, and the wait between."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from realtime.cursor import Cursor
from realtime.events import Finished, Started
from realtime.hooks import Leaving
from realtime.log import EventLog
from realtime.observation import Nudge
from tests.unit.logs import make_meta
from transports.asgi import Scope
from transports.codec import Bye
from transports.conversation import Idle, beginning, beginning_after, follow, starting_log
from transports.http import HttpStream
from transports.ndjson import NDJSON
from transports.pulse import Pulse

PATIENCE_S = 20


def make_log(name: str, *, finished: bool) -> EventLog:
    """A log of two events whose generation and epoch are `name`."""
    log = EventLog(make_meta(name), name, limit_bytes=None)
    log.append(Started(name, "demo/default", 0), 0)
    log.append(Finished("failed"), 1) if finished else None
    return log


def make_logs(kinds: str) -> list[EventLog]:
    """Logs `a`, `b`, …, oldest first: `F` is finished and has two events, `L` is live and has one."""
    return [make_log(name, finished=kind == "F") for name, kind in zip("abcdef", kinds, strict=False)]


@pytest.mark.parametrize(
    ("kinds", "cursor", "log", "kept"),
    [
        # Without a cursor: the active one.
        ("", None, None, False),
        ("F", None, None, False),
        ("L", None, "a", False),
        ("FL", None, "b", False),
        ("LF", None, "a", False),
        ("LL", None, "b", False),
        # On a log that has more to say.
        ("L", "a-0", "a", True),
        ("L", "a-1", "a", True),
        ("F", "a-1", "a", True),
        ("FL", "a-0", "a", True),
        ("FFL", "b-1", "b", True),
        # Ahead of its head: answered there, by a reset.
        ("FL", "a-3", "a", True),
        ("FL", "b-9", "b", True),
        # It has all of it: the next one, from its beginning, also when that is over.
        ("F", "a-2", None, False),
        ("FL", "a-2", "b", False),
        ("FF", "a-2", "b", False),
        ("FFL", "a-2", "b", False),
        ("FFL", "b-2", "c", False),
        ("FF", "b-2", None, False),
        ("LF", "b-2", "a", False),
        # Of a log that is not here: the active one, with the cursor, which resets.
        ("", "x-1", None, True),
        ("F", "x-1", None, True),
        ("FL", "x-1", "b", True),
    ],
)
def test_where_it_begins(kinds: str, cursor: str | None, log: str | None, kept: bool) -> None:
    """No generation is shown in part or passed over, and a foreign cursor is not taken for none."""
    place = None if cursor is None else Cursor(cursor[0], int(cursor[2:]))
    found, going_on = starting_log(make_logs(kinds), place)
    assert (None if found is None else found.epoch) == log
    assert going_on == (place if kept else None)


class Followed:
    """A conversation, and a stream that follows it."""

    def __init__(self, logs: list[EventLog], cursor: Cursor | None = None) -> None:
        self.logs = logs
        self.served: list[tuple[str, Cursor | None]] = []
        self.waits: list[str | None] = []
        self.created = asyncio.Event()
        self.waiting = asyncio.Event()
        self.answers: dict[str, Leaving] = {}
        self.writes: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.stream = HttpStream(NDJSON, self._follow, pulse=Pulse(), retry_ms=1)
        self._first = beginning(logs, cursor)
        self.task = asyncio.ensure_future(self._served())

    async def _served(self) -> None:
        await self.stream.open(self._send)
        await self.stream.run(self._send, receive=self._receive)

    async def _follow(self, stream: HttpStream) -> Leaving:
        return await follow(
            stream,
            NDJSON,
            self._first,
            serve=self._serve,
            wait_created=self._wait_created,
            logs=self._list,
            bye=lambda: Bye("draining", 1500),
        )

    async def _serve(self, _: HttpStream, log: EventLog, cursor: Cursor | None) -> Leaving:
        self.served.append((log.epoch, cursor))
        return self.answers.get(log.epoch, "finished")

    async def _wait_created(self, known: str | None) -> None:
        self.waits.append(known)
        self.waiting.set()
        await self.created.wait()
        self.created.clear()

    async def _list(self) -> Sequence[EventLog]:
        return self.logs

    async def _receive(self) -> Scope:
        await asyncio.Event().wait()
        raise AssertionError

    async def _send(self, message: Scope) -> None:
        if message.get("body"):
            self.writes.put_nowait(json.loads(message["body"]))

    async def idle(self) -> None:
        """Wait until it waits for the next generation."""
        async with asyncio.timeout(PATIENCE_S):
            await self.waiting.wait()
        self.waiting.clear()

    def create(self, log: EventLog) -> None:
        """The next generation begins."""
        self.logs.append(log)
        self.created.set()

    async def nudge(self, nudge: Nudge) -> dict[str, Any]:
        """Wake the idle stream; what it then writes."""
        assert self.stream.target is not None
        self.stream.target.wake(nudge)
        async with asyncio.timeout(PATIENCE_S):
            return await self.writes.get()

    async def end(self) -> Leaving | None:
        """Say goodbye to it while it is idle, and see it end."""
        assert (await self.nudge("bye"))["type"] == "bye"
        async with asyncio.timeout(PATIENCE_S):
            await self.task
        return self.stream.left


async def test_it_follows_one_after_another() -> None:
    """Each from its beginning; only the first with the cursor; then it waits for one after the last."""
    followed = Followed(make_logs("FFL"), Cursor("a", 1))
    await followed.idle()
    assert followed.served == [("a", Cursor("a", 1)), ("b", None), ("c", None)]
    assert followed.waits == ["c"]
    followed.create(make_log("d", finished=False))
    await followed.idle()
    assert followed.served[3:] == [("d", None)]
    assert await followed.end() == "bye"


async def test_one_who_was_away_misses_nothing() -> None:
    """It had all of the first when it left, and the second came and went meanwhile."""
    followed = Followed(make_logs("FF"), Cursor("a", 2))
    await followed.idle()
    assert followed.served == [("b", None)]
    await followed.end()


@pytest.mark.parametrize(("kinds", "known"), [("", None), ("FF", "b")])
async def test_idle_at_first(kinds: str, known: str | None) -> None:
    """What is over when a new observer comes is not shown to it; what begins then is, once."""
    followed = Followed(make_logs(kinds))
    await followed.idle()
    assert followed.waits == [known]
    followed.create(make_log("z", finished=True))
    await followed.idle()
    assert followed.served == [("z", None)]
    await followed.end()


async def test_several_that_began_while_one_was_served() -> None:
    """Are served in the order in which they began."""
    followed = Followed(make_logs("L"))
    followed.logs += [make_log("b", finished=True), make_log("c", finished=True)]
    await followed.idle()
    assert [name for name, _ in followed.served] == ["a", "b", "c"]
    await followed.end()


async def test_when_the_last_is_no_longer_kept() -> None:
    """It goes on with the newest there is."""
    followed = Followed(make_logs("L"))
    await followed.idle()
    followed.logs.clear()
    followed.create(make_log("x", finished=False))
    await followed.idle()
    assert [name for name, _ in followed.served] == ["a", "x"]
    await followed.end()


async def test_heartbeats_go_on_between_generations() -> None:
    """Any number, and then the goodbye, which is the last frame."""
    followed = Followed([])
    await followed.idle()
    for _ in range(2):
        assert await followed.nudge("heartbeat") == {"type": "heartbeat"}
    assert await followed.nudge("bye") == {"type": "bye", "reason": "draining", "retry_ms": 1500}
    async with asyncio.timeout(PATIENCE_S):
        await followed.task
    assert followed.stream.left == "bye"
    assert followed.stream.target is None
    assert followed.writes.empty()


async def test_a_goodbye_within_a_generation_ends_it() -> None:
    """Nothing is waited for any more."""
    followed = Followed(make_logs("LL"))
    followed.answers["b"] = "bye"
    async with asyncio.timeout(PATIENCE_S):
        await followed.task
    assert (followed.stream.left, followed.waits) == ("bye", [])


async def test_idle_is_woken_by_either() -> None:
    """By the next generation, or by a nudge; a goodbye is not overwritten by a heartbeat."""
    created = asyncio.Event()

    async def wait() -> None:
        await created.wait()

    idle = Idle(wait())
    idle.wake("bye")
    idle.wake("heartbeat")
    async with asyncio.timeout(PATIENCE_S):
        await idle.woken()
        assert (idle.nudge, idle.over) == ("bye", False)
        created.set()
        await idle.woken()
    assert idle.over
    idle.result()
    idle.close()


async def test_what_ends_the_wait_badly_is_raised() -> None:
    """A bus that fails is not taken for a generation that began."""

    async def fail() -> None:
        raise OSError("the bus is gone")

    idle = Idle(fail())
    async with asyncio.timeout(PATIENCE_S):
        await idle.woken()
    with pytest.raises(OSError, match="gone"):
        idle.result()


async def test_a_closed_wait_is_cancelled() -> None:
    """Nothing is left running when the client goes."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    idle = Idle(wait())
    async with asyncio.timeout(PATIENCE_S):
        await begun.wait()
        idle.close()
        await ended.wait()


async def test_one_that_begins_before_the_stream_is_served_is_not_passed_over() -> None:
    """Where it begins is settled once; what starts while the headers are written comes next, though it is over."""
    logs = make_logs("F")
    followed = Followed(logs)
    logs.append(make_log("b", finished=True))
    await followed.idle()
    assert followed.served == [("b", None)]
    await followed.end()


def test_a_wait_ends_with_one_that_is_over_already() -> None:
    """What began and ended before anyone looked again is what was waited for."""
    logs = make_logs("F")
    first = beginning(logs, None)
    assert first.log is None
    logs.append(make_log("b", finished=True))
    later = beginning_after(first, logs, None)
    assert later.log is logs[1]


async def test_a_goodbye_between_two_generations_is_kept() -> None:
    """Said while nothing is served that could hear it, it is heard by what is served next."""
    followed = Followed([])
    followed.stream.say_bye()
    async with asyncio.timeout(PATIENCE_S):
        assert (await followed.writes.get())["type"] == "bye"
        await followed.task
