"""A cluster: what two processes see of each other, a slot that moves, a node that dies, a connection that is deaf."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from realtime.bus.base import Writer
from realtime.bus.redis import RedisBus, reach
from realtime.bus.redis.keys import log_keys
from realtime.bus.redis.nodes import CALL_S
from realtime.errors import RealtimeError
from realtime.events import Finished, StoppedBy, Text
from realtime.log import EventLog

from ..support.eventually import eventually
from ..support.redis_access import certificates, documented_rights
from ..support.redis_cluster import RedisCluster, ask
from .logs import DONE
from .test_bus import created, meta, no_orphan, visible
from .test_redis_links import assert_shared, two_buses

pytestmark = pytest.mark.slow

_CAUGHT_UP_S = 30.0


@pytest.fixture
async def cluster() -> AsyncIterator[RedisCluster]:
    """Three nodes."""
    async with RedisCluster() as made:
        yield made


def texts(log: EventLog) -> list[str]:
    """What was said."""
    return [entry.event.text for entry in log.since(0) if isinstance(entry.event, Text)]


async def reached(log: EventLog, head: int) -> None:
    """Wait until a log has as many events."""
    async with asyncio.timeout(_CAUGHT_UP_S):
        while log.head < head:
            await log.wait(log.head)


async def on_each_node(cluster: RedisCluster, bus: RedisBus) -> list[Writer]:
    """Writers of logs, one on each node, in the order of the nodes."""
    found: dict[int, Writer] = {}
    number = 0
    while len(found) < len(cluster.nodes):
        number += 1
        port = (await cluster.owner(log_keys("t", meta(number).generation).log)).port
        if port not in found:
            found[port] = await created(bus, meta(number))
    return [found[node.port] for node in cluster.nodes]


async def found_by(bus: RedisBus, writer: Writer) -> EventLog:
    """The log of a writer, as another process has it, and keeps it for somebody who reads it there."""
    log = await bus.find("t", writer.log.meta.generation)
    assert log is not None
    assert log is not writer.log
    log.attach("reader", log.head)
    return log


def said(stopped: asyncio.Event, _: StoppedBy) -> None:
    """Note that somebody asked for a stop."""
    stopped.set()


async def swallow(**_: object) -> None:
    """A message that never comes."""
    await asyncio.Event().wait()


@pytest.mark.usefixtures("unwatched")
async def test_what_one_writes_the_other_is_told(cluster: RedisCluster) -> None:
    """Appends and stops come by messages, whichever node they are told by."""
    async with two_buses(cluster.url) as (one, other):
        for writer in await on_each_node(cluster, one):
            log, stopped = await found_by(other, writer), asyncio.Event()
            writer.on_stop(partial(said, stopped))
            writer.append(Text("a"))
            await reached(log, 3)
            assert texts(log) == ["a"]
            async with asyncio.timeout(_CAUGHT_UP_S):
                await other.stop("t", log.meta.generation, "owner")
                await stopped.wait()


async def test_no_more_rights_than_are_documented(cluster: RedisCluster) -> None:
    """The user of the documentation may do all that is done in a cluster too, and touch nothing else."""
    for node in cluster.nodes:
        await ask(node, "ACL", "SETUSER", "realtime", "on", ">secret", *documented_rights(of_cluster=True))
    await assert_shared(cluster.url.replace("//", "//realtime:secret@"))
    assert [await ask(node, "ACL", "LOG") for node in cluster.nodes] == [[], [], []]


async def test_by_tls(tmp_path: Path) -> None:
    """Each node is asked, and listened to, on the port that its certificate is for."""
    tls = certificates(tmp_path)
    async with RedisCluster(*tls.options, tls=True) as cluster:
        ports = ",".join(f"127.0.0.1:{node.tls_port}" for node in cluster.nodes)
        await assert_shared(f"rediss+cluster://{ports}?ssl_ca_certs={tls.authority}")


async def test_a_slot_that_moves(cluster: RedisCluster) -> None:
    """A generation whose keys go to another node while it is written loses nothing and repeats nothing, for whoever
    reads it before, between and after; it can be stopped between, and is told by messages again afterwards."""
    async with two_buses(cluster.url) as (one, other):
        writer = await created(one, meta(1))
        log, said = await found_by(other, writer), list[str]()

        async def say(together: bool) -> None:
            for _ in range(20):
                said.append(f"{len(said)} ")
                writer.append(Text(said[-1]))
            # Where its keys are torn apart that is written later.
            await (visible(writer) if together else asyncio.sleep(0))

        async def say_and_stop(together: bool) -> None:
            await say(together)
            assert await other.stop("t", meta(1).generation, "owner") is not None

        await cluster.move(log_keys("t", meta(1).generation).log, say_and_stop)
        await say(True)
        await reached(log, writer.log.head)
        assert writer.stop_requested == "owner"
        assert await writer.seal(DONE) == "won"
        await reached(log, writer.log.head)
        assert texts(log) == texts(writer.log) == said
        async with two_buses(cluster.url) as (late, _):
            assert texts(await found_by(late, writer)) == said


async def test_messages_after_a_slot_has_moved(cluster: RedisCluster, unwatched: None) -> None:
    """What is told by another node from now on is listened to there."""
    async with two_buses(cluster.url) as (one, other):
        writer = await created(one, meta(1))
        log = await found_by(other, writer)
        await cluster.move(log_keys("t", meta(1).generation).log, lambda _: asyncio.sleep(0))
        for number in range(3, 20):
            writer.append(Text("a"))
            await reached(log, number)


async def test_a_node_that_dies(cluster: RedisCluster) -> None:
    """Its generations wait for it, and whoever asks for them is told so; the others go on. When it is there again, and
    has forgotten everything, they are written again."""
    async with two_buses(cluster.url) as (one, other):
        writers = await on_each_node(cluster, one)
        logs = [await found_by(other, writer) for writer in writers]
        await cluster.nodes[0].kill()
        for _ in range(10):
            for writer, log in zip(writers[1:], logs[1:], strict=True):
                writer.append(Text("a"))
                await visible(writer)
                await reached(log, writer.log.head)
        writers[0].append(Text("a"))
        async with asyncio.timeout(_CAUGHT_UP_S):
            with pytest.raises(RealtimeError) as caught:
                await other.stop("t", logs[0].meta.generation, "owner")
        assert caught.value.code == "bus_unavailable"
        assert writers[0].log.head == logs[0].head == 2
        assert one.healthy
        assert other.healthy
        await cluster.nodes[0].start()
        await visible(writers[0])
        await reached(logs[0], 3)
        assert texts(logs[0]) == ["a"]
        for writer in writers:
            assert await writer.seal(DONE) == "won"


async def test_a_node_that_stands_still(cluster: RedisCluster) -> None:
    """Whoever has to wait for it waits alone: what is written and read elsewhere waits for none of its answers."""
    async with two_buses(cluster.url) as (one, other):
        writers = await on_each_node(cluster, one)
        logs = [await found_by(other, writer) for writer in writers]
        cluster.nodes[0].pause()
        writers[0].append(Text("a"))
        # One round trip that waits for it lasts as long as a call may.
        async with asyncio.timeout(5 * CALL_S):
            for head in range(3, 103):
                for writer, log in zip(writers[1:], logs[1:], strict=True):
                    writer.append(Text("a"))
                    await visible(writer)
                    await reached(log, head)
        cluster.nodes[0].resume()
        await visible(writers[0])
        await reached(logs[0], 3)


async def test_a_node_with_a_replica(cluster: RedisCluster) -> None:
    """The replica is found when it has taken its place, and all goes on there."""
    await cluster.replicate(cluster.nodes[0])
    async with two_buses(cluster.url) as (one, other):
        writer = (await on_each_node(cluster, one))[0]
        log = await found_by(other, writer)
        await cluster.nodes[0].kill()
        writer.append(Text("a"))
        await reached(log, 3)
        assert await writer.seal(DONE) == "won"
        await reached(log, 4)


async def test_a_cluster_that_is_down(cluster: RedisCluster) -> None:
    """Where Redis refuses everything because one node is away, that is no more than Redis being away."""
    for node in cluster.nodes:
        await ask(node, "CONFIG", "SET", "cluster-require-full-coverage", "yes")
        await ask(node, "CONFIG", "SET", "cluster-node-timeout", 2000)
    async with two_buses(cluster.url) as (one, other):
        writer = (await on_each_node(cluster, one))[2]
        log = await found_by(other, writer)
        await cluster.nodes[0].kill()
        async with asyncio.timeout(_CAUGHT_UP_S):
            while one.healthy:
                writer.append(Text("a"))
                await asyncio.sleep(0.05)
        await cluster.nodes[0].start()
        await reached(log, writer.written[0])
        assert await writer.seal(DONE) == "won"


async def test_a_node_that_is_replaced(cluster: RedisCluster) -> None:
    """Where another has its slots, and nothing of what was in them, that is written again there."""
    async with two_buses(cluster.url) as (one, other):
        writer = (await on_each_node(cluster, one))[1]
        log = await found_by(other, writer)
        await cluster.nodes[1].kill()
        writer.append(Text("a"))
        await cluster.replace(cluster.nodes[1], log_keys("t", log.meta.generation).log)
        await reached(log, 3)
        assert await writer.seal(DONE) == "won"
        await reached(log, 4)


async def test_an_end_that_was_lost_with_its_node(cluster: RedisCluster) -> None:
    """Nothing more is said of it; and yet it is written again, with all before it, where its slot is now."""
    async with two_buses(cluster.url) as (one, _):
        writer = (await on_each_node(cluster, one))[1]
        keys = log_keys("t", writer.log.meta.generation)
        writer.append(Text("a"))
        assert await writer.seal(DONE) == "won"
        await cluster.nodes[1].kill()
        await cluster.replace(cluster.nodes[1], keys.log)

        async def ended() -> bool:
            return bool(await ask(cluster.after(cluster.nodes[1]), "HGET", keys.meta, "ended"))

        await eventually(ended, "it has ended there too")
        async with two_buses(cluster.url) as (late, _):
            log = await late.find("t", writer.log.meta.generation)
            assert log is not None
            assert log.finished is not None
            assert texts(log) == ["a"]


async def test_a_process_that_begins_while_a_node_is_away(cluster: RedisCluster) -> None:
    """It serves what there is."""
    async with two_buses(cluster.url) as (one, _):
        writers = await on_each_node(cluster, one)
        await cluster.nodes[2].kill()
        await reach(cluster.url)
        late = RedisBus(cluster.url)
        await late.open(no_orphan)
        log = await found_by(late, writers[0])
        writers[0].append(Text("a"))
        await reached(log, 3)
        await late.close()


async def test_orphans_while_a_node_is_away(cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a dead process leaves with the other nodes is taken over, and known to those who read it."""
    for name in ("bus.LEASE_S", "flusher.LEASE_S"):
        monkeypatch.setattr(f"realtime.bus.redis.{name}", 3.0)
    for name in ("lease.RENEW_S", "sweep.RENEW_S", "sweep.SWEEP_S"):
        monkeypatch.setattr(f"realtime.bus.redis.{name}", 0.5)
    dying, heir = RedisBus(cluster.url), RedisBus(cluster.url)
    left = asyncio.Queue[Writer]()
    await heir.open(left.put)
    await dying.open(no_orphan)
    writers = await on_each_node(cluster, dying)
    logs = [await found_by(heir, writer) for writer in writers]
    await cluster.nodes[0].kill()
    assert left.empty()
    await dying.close()
    async with asyncio.timeout(_CAUGHT_UP_S):
        taken = [await left.get(), await left.get()]
    for writer in taken:
        assert await writer.seal(Finished("failed")) == "won"
    assert [log.finished is not None for log in logs] == [False, True, True]
    await heir.close()


async def test_a_look_while_a_node_is_away(cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no message arrives the logs of the other nodes are compared, as if it were there."""
    monkeypatch.setattr(RedisBus, "_hear", lambda *_: None)
    async with two_buses(cluster.url) as (one, other):
        writers = await on_each_node(cluster, one)
        logs = [await found_by(other, writer) for writer in writers]
        await cluster.nodes[0].kill()
        for writer, log in zip(writers[1:], logs[1:], strict=True):
            writer.append(Text("a"))
            await reached(log, 3)


async def test_a_connection_that_is_deaf(
    cluster: RedisCluster, unwatched: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a process does not hear itself any more it listens anew, and what it has missed is looked for."""
    monkeypatch.setattr("realtime.bus.redis.ears.ECHO_S", 0.5)
    async with two_buses(cluster.url) as (one, other):
        writers = await on_each_node(cluster, one)
        logs = [await found_by(other, writer) for writer in writers]
        # After the message that each waits for no other is heard, and the connections look as before.
        for ear in other._lanes._ears.values():
            monkeypatch.setattr(ear._listener, "get_message", swallow)
        for writer, log in zip(writers, logs, strict=True):
            for _ in range(3):
                writer.append(Text("a"))
                await visible(writer)
            await reached(log, 5)
