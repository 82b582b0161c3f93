"""The contract of a bus, over every implementation, and what only the memory bus promises."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from realtime.bus.base import Bus, Claim, Writer
from realtime.bus.memory import MemoryBus
from realtime.bus.redis import RedisBus
from realtime.bus.retention import Retention
from realtime.errors import RealtimeError
from realtime.events import Finished, StoppedBy, Text
from realtime.log import EventLog, Meta, Retain

from ..support.redis_cluster import RedisCluster
from ..support.redis_server import RedisServer
from .logs import ATTEMPT, DONE

_BEGAN_MS = int(time.time() * 1000)

MakeBus = Callable[[RedisCluster, Retention], AbstractAsyncContextManager[Bus]]


@asynccontextmanager
async def memory(_: RedisCluster, retention: Retention) -> AsyncIterator[Bus]:
    yield MemoryBus(retention)


@asynccontextmanager
async def over_redis(_: RedisCluster, retention: Retention) -> AsyncIterator[Bus]:
    async with RedisServer() as server:
        yield RedisBus(server.url, retention)


@asynccontextmanager
async def over_cluster(cluster: RedisCluster, retention: Retention) -> AsyncIterator[Bus]:
    await cluster.forget()
    yield RedisBus(cluster.url, retention)


# Adding a bus to the contract is one line here.
BUSES: dict[str, MakeBus] = {"memory": memory, "redis": over_redis, "cluster": over_cluster}


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    """One for all tests, for it takes seconds to come about."""
    with asyncio.Runner() as runner:
        made = RedisCluster()
        runner.run(made.__aenter__())
        yield made
        runner.run(made.__aexit__(None, None, None))


async def no_orphan(writer: Writer) -> None:
    """Nobody dies here."""
    raise AssertionError(writer)


@pytest.fixture
def retention() -> Retention:
    """What the bus keeps; a test that needs less names it."""
    return Retention()


@pytest.fixture(params=sorted(BUSES))
async def bus(request: pytest.FixtureRequest, cluster: RedisCluster, retention: Retention) -> AsyncIterator[Bus]:
    """One of each."""
    async with BUSES[request.param](cluster, retention) as made:
        await made.open(no_orphan)
        yield made
        await made.close()


def meta(
    number: int, *, tenant: str = "t", subject: str | None = None, name: str | None = None, retain: Retain = "all"
) -> Meta:
    """What the n-th log of a test is of."""
    made_ms = _BEGAN_MS + number
    return Meta(f"{number:032x}", tenant, subject, "demo", "demo/default", made_ms, conversation=name, retain=retain)


def numbers(logs: Iterable[EventLog]) -> list[int]:
    """The n of each."""
    return [log.meta.created_ms - _BEGAN_MS for log in logs]


async def visible(writer: Writer) -> None:
    """Wait until all that was handed over can be read."""
    async with asyncio.timeout(10):
        while writer.log.head < writer.written[0]:
            await writer.log.wait(writer.log.head)


async def created(bus: Bus, what: Meta, claim: Claim | None = None) -> Writer:
    """A writer whose log holds `started` and `attempt`."""
    writer = await bus.create(what, claim or Claim())
    assert not isinstance(writer, EventLog)
    writer.append(ATTEMPT)
    await visible(writer)
    return writer


async def say(writer: Writer, times: int, text: str = "word") -> None:
    """Have it said so often, where all can read it."""
    for _ in range(times):
        writer.append(Text(text))
    await visible(writer)


async def full(writer: Writer) -> None:
    """Wait for room in a log that has none."""
    waiting = writer.room()
    assert waiting is not None
    await waiting


async def test_what_is_appended_is_found(bus: Bus) -> None:
    """A log is found by tenant and id, with everything that was appended."""
    writer = await created(bus, meta(1))
    assert writer.append(Text("a")) == 3
    await visible(writer)
    log = await bus.find("t", meta(1).generation)
    assert log is not None
    assert [type(entry.event).__name__ for entry in log.since(0)] == ["Started", "Attempt", "Text"]
    assert await bus.find("other", meta(1).generation) is None
    assert await bus.find("t", meta(2).generation) is None


async def test_the_first_seal_wins(bus: Bus) -> None:
    """One terminal event, whoever tries again."""
    writer = await created(bus, meta(1))
    assert await writer.seal(DONE) == "won"
    assert await writer.seal(Finished("failed")) == "closed"
    log = await bus.find("t", meta(1).generation)
    assert log is not None
    assert log.finished == DONE


async def test_two_logs_share_no_epoch(bus: Bus) -> None:
    """A cursor of one log fits no other, though both were made in the same millisecond."""
    epochs = {(await created(bus, meta(number))).log.epoch for number in range(50)}
    assert len(epochs) == 50


async def test_a_stop_reaches_the_writer_once(bus: Bus) -> None:
    """The first to ask is named; asking again, or for what is not there, changes nothing."""
    writer = await created(bus, meta(1))
    heard: list[StoppedBy] = []
    writer.on_stop(heard.append)
    log = await bus.stop("t", meta(1).generation, "owner")
    await bus.stop("t", meta(1).generation, "disconnect")
    assert heard == ["owner"]
    assert writer.stop_requested == "owner"
    assert log is not None
    assert log.state == "stopping"
    assert await bus.stop("other", meta(1).generation, "owner") is None


async def test_a_stop_before_anyone_listens_is_not_lost(bus: Bus) -> None:
    """A driver that comes late is told at once."""
    writer = await created(bus, meta(1))
    await bus.stop("t", meta(1).generation, "owner")
    heard: list[StoppedBy] = []
    writer.on_stop(heard.append)
    assert heard == ["owner"]


async def test_a_stop_after_the_end_is_answered(bus: Bus) -> None:
    """It finds the log finished and leaves it so."""
    writer = await created(bus, meta(1))
    await writer.seal(DONE)
    log = await bus.stop("t", meta(1).generation, "owner")
    assert log is not None
    assert log.state == "finished"
    assert writer.stop_requested is None


async def test_a_repeat_finds_the_first(bus: Bus) -> None:
    """The same key and body lead to the first log, for the same subject only."""
    claim = Claim("key", b"body")
    first = await created(bus, meta(1), claim)
    for again in (await bus.create(meta(2), claim), await bus.claimed("t", None, claim)):
        assert isinstance(again, EventLog)
        assert again.meta == first.log.meta
    assert await bus.claimed("t", "someone", claim) is None
    assert not isinstance(await bus.create(meta(3, subject="someone"), claim), EventLog)


async def test_a_key_with_another_body_is_refused(bus: Bus) -> None:
    """idempotency_mismatch, and nothing is created."""
    await created(bus, meta(1), Claim("key", b"body"))
    with pytest.raises(RealtimeError) as caught:
        await bus.create(meta(2), Claim("key", b"another"))
    assert caught.value.code == "idempotency_mismatch"
    assert await bus.find("t", meta(2).generation) is None


async def test_a_busy_conversation_names_who_is_active(bus: Bus) -> None:
    """An exclusive claim is refused while one is live, and not after; `allow` is not refused."""
    writer = await created(bus, meta(1, name="c"))
    with pytest.raises(RealtimeError) as caught:
        await bus.create(meta(2, name="c"), Claim())
    assert caught.value.error.generation == meta(1).generation
    await created(bus, meta(3, name="c"), Claim(exclusive=False))
    await created(bus, meta(4, name="c", subject="another"))
    await writer.seal(DONE)
    await (await created(bus, meta(5, name="c"), Claim(exclusive=False))).seal(DONE)


async def test_a_conversation_lists_its_logs(bus: Bus) -> None:
    """Oldest first; a subject sees its own, a server-side key all of its tenant's."""
    for number in (1, 2):
        await (await created(bus, meta(number, name="c", subject="s"))).seal(DONE)
    await created(bus, meta(3, name="c", subject="another"))
    for subject, expected in (("s", [1, 2]), ("another", [3]), (None, [1, 2, 3])):
        logs = await bus.conversation("t", subject, "c")
        assert numbers(logs) == expected
    assert not await bus.conversation("t", None, "unknown")
    assert not await bus.conversation("other", None, "c")


async def test_the_next_of_a_conversation_is_waited_for(bus: Bus) -> None:
    """The wait ends when there is another than the known one."""
    await (await created(bus, meta(1, name="c"))).seal(DONE)
    await bus.wait_created("t", None, "c", None)
    waiting = asyncio.ensure_future(bus.wait_created("t", None, "c", meta(1).generation))
    await asyncio.sleep(0)
    assert not waiting.done()
    await created(bus, meta(2, name="another"))
    await created(bus, meta(3, name="c", subject="s"))
    await asyncio.wait_for(waiting, 5)


async def test_the_next_that_a_subject_may_see_is_waited_for(bus: Bus) -> None:
    """Another's generation in the same conversation ends no wait."""
    await created(bus, meta(1, name="c", subject="s"))
    waiting = asyncio.ensure_future(bus.wait_created("t", "s", "c", meta(1).generation))
    await created(bus, meta(2, name="c", subject="another"))
    await bus.wait_created("t", "another", "c", None)
    await asyncio.sleep(0)
    assert not waiting.done()
    await created(bus, meta(3, name="c", subject="s"), Claim(exclusive=False))
    await asyncio.wait_for(waiting, 5)


async def test_pages_are_newest_first_and_complete(bus: Bus) -> None:
    """Following `next` gives every log of the subject once."""
    for number in range(7):
        await created(bus, meta(number, subject="s" if number % 2 else None))
    seen, before = list[int](), None
    while True:
        page = await bus.page("t", None, before, 3)
        seen += numbers(page.logs)
        before = page.next
        if before is None:
            break
    assert seen == [6, 5, 4, 3, 2, 1, 0]
    assert numbers((await bus.page("t", "s", None, 9)).logs) == [5, 3, 1]
    assert not (await bus.page("other", None, None, 9)).logs
    with pytest.raises(RealtimeError) as caught:
        await bus.page("t", None, "f" * 32, 9)
    assert caught.value.error.field == "before"


async def test_only_what_ended_can_be_erased(bus: Bus) -> None:
    """A live log stays; an ended one goes, with its key and its place in the conversation."""
    writer = await created(bus, meta(1, name="c"), Claim("key", b"body"))
    assert not await bus.erase("t", meta(1).generation)
    await writer.seal(DONE)
    assert not await bus.erase("other", meta(1).generation)
    assert await bus.erase("t", meta(1).generation)
    assert await bus.find("t", meta(1).generation) is None
    assert not await bus.conversation("t", None, "c")
    assert not isinstance(await bus.create(meta(2), Claim("key", b"another")), EventLog)


@pytest.mark.parametrize("retention", [Retention(window_events=10)])
async def test_room_is_immediate_unless_a_reader_is_a_window_behind(bus: Bus) -> None:
    """A windowed writer waits for its slowest reader, until that has moved, and for nobody when there is none."""
    writer = await created(bus, meta(1, retain="window"))
    await say(writer, 3000)
    assert writer.room() is None
    assert writer.log.trimmed > 2500
    writer.log.attach("reader", writer.log.head)
    await say(writer, 20)
    waiting = asyncio.ensure_future(full(writer))
    await asyncio.sleep(0)
    assert not waiting.done()
    writer.log.moved("reader", writer.log.head - 5)
    # At once, and not when something else happens to the log.
    await asyncio.wait_for(waiting, 1.5)


@pytest.mark.parametrize("retention", [Retention(window_events=10)])
async def test_a_window_never_trims_what_a_reader_needs(bus: Bus) -> None:
    """Between two waits for room everything past the slowest reader is kept."""
    writer = await created(bus, meta(1, retain="window"))
    writer.log.attach("reader", 2)
    await say(writer, 1000)
    assert writer.log.trimmed <= 2


@pytest.mark.parametrize("retention", [Retention(window_events=1000, log_limit_bytes=100_000)])
async def test_a_window_is_bounded_in_bytes_too(bus: Bus) -> None:
    """Few large events weigh as much as many small ones, with a reader that is waited for and without."""
    writer = await created(bus, meta(1, retain="window"))
    for _ in range(50):
        await say(writer, 1, "x" * 10_000)
        assert writer.log.payload_bytes <= 110_000
    writer.log.attach("reader", writer.log.head)
    await say(writer, 11, "x" * 10_000)
    waiting = asyncio.ensure_future(full(writer))
    await asyncio.sleep(0)
    assert not waiting.done()
    writer.log.moved("reader", writer.log.head)
    await asyncio.wait_for(waiting, 1.5)
    assert writer.log.payload_bytes <= 100_000


async def test_ended_logs_go_without_being_asked_for() -> None:
    """What is kept too long goes by itself, though nobody calls."""
    bus = MemoryBus(Retention(ended_s=0.01))
    await (await created(bus, meta(1))).seal(DONE)
    while bus._logs:  # noqa: ASYNC110 - it is the absence of calls that is tested
        await asyncio.sleep(0.001)
    await bus.close()


async def test_ended_logs_go_by_time_and_by_bytes() -> None:
    """The oldest goes first when either bound is passed; live ones stay."""
    now = [0.0]
    bus = MemoryBus(Retention(ended_s=10, ended_bytes=100_000), clock=lambda: now[0])
    live = await created(bus, meta(0))
    for number in (1, 2, 3):
        writer = await created(bus, meta(number))
        writer.append(Text("x" * 40_000))
        await writer.seal(DONE)
    kept = [n for n in (0, 1, 2, 3) if await bus.find("t", meta(n).generation)]
    assert kept == [0, 2, 3]
    now[0] = 11.0
    assert [n for n in (0, 2, 3) if await bus.find("t", meta(n).generation)] == [0]
    assert live.log.state == "starting"
