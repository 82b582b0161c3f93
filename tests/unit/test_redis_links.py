"""The ways to a Redis: with no more rights than are documented, by TLS, by Sentinel."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis.asyncio.client import PubSub

from realtime.bus.base import Claim, Writer
from realtime.bus.redis import RedisBus
from realtime.bus.redis.keys import asked
from realtime.bus.redis.nodes import hosts_of
from realtime.errors import RealtimeError
from realtime.events import Text
from realtime.log import EventLog

from ..support.link import Link
from ..support.redis_access import certificates, documented_rights
from ..support.redis_server import RedisServer
from .test_bus import created, meta, no_orphan, visible


@asynccontextmanager
async def two_buses(url: str) -> AsyncIterator[tuple[RedisBus, RedisBus]]:
    """Two processes' worth."""
    one, other = RedisBus(url), RedisBus(url)
    async with AsyncExitStack() as stack:
        for bus in (one, other):
            await bus.open(no_orphan)
            stack.push_async_callback(bus.close)
        yield one, other


async def assert_shared(url: str) -> None:
    """What one writes the other reads as it is written, and what the other stops the one hears."""
    async with two_buses(url) as (one, other):
        writer: Writer = await created(one, meta(1, name="talk"), Claim("key", b"body"))
        stopped = asyncio.Event()
        writer.on_stop(lambda _: stopped.set())
        log = await other.find("t", meta(1).generation)
        assert log is not None
        writer.append(Text("a"))
        await visible(writer)
        async with asyncio.timeout(10):
            await log.wait(2)
            assert log.since(2)[0].event == Text("a")
            await other.stop("t", meta(1).generation, "owner")
            await stopped.wait()
        assert isinstance(await other.create(meta(2, name="talk"), Claim("key", b"body")), EventLog)
        assert [found.meta.generation for found in (await other.page("t", None, None, 9)).logs] == [meta(1).generation]


async def test_no_more_rights_than_are_documented() -> None:
    """The user of the documentation may do all that is done, and touch nothing else."""
    async with RedisServer() as server:
        client = server.client()
        await client.execute_command("ACL", "SETUSER", "realtime", "on", ">secret", *documented_rights())  # type: ignore[no-untyped-call]
        await assert_shared(f"redis://realtime:secret@127.0.0.1:{server.port}/0")
        log = await client.acl_log()
        await client.aclose()
    assert log == []


async def test_by_tls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A certificate that is trusted will do; one that is not is refused, and so is one of another name."""
    tls = certificates(tmp_path)
    async with RedisServer(*tls.options, tls=True) as server:
        await assert_shared(f"rediss://127.0.0.1:{server.tls_port}/0?ssl_ca_certs={tls.authority}")
        monkeypatch.setattr("realtime.bus.redis.lanes.CALL_S", 0.5)
        for place in ("127.0.0.1:{}/0", "localhost:{}/0?ssl_ca_certs=" + str(tls.authority)):
            stranger = RedisBus("rediss://" + place.format(server.tls_port))
            with pytest.raises(RealtimeError) as caught:
                await stranger.open(no_orphan)
            assert caught.value.code == "bus_unavailable"
            await stranger.close()


def test_the_hosts_of_a_url() -> None:
    """Names and addresses of either kind, each with its port or the usual one."""
    parts = urlsplit("redis+cluster://u:p%40@[::1]:7000,[fe80::1],host.example:1,10.0.0.1/0")
    assert hosts_of(parts, 6379) == [("::1", 7000), ("fe80::1", 6379), ("host.example", 1), ("10.0.0.1", 6379)]


async def test_by_sentinel() -> None:
    """Whoever is the master is asked for."""
    async with RedisServer() as server, RedisServer(sentinel_of=server.port) as sentinel:
        await assert_shared(f"redis+sentinel://127.0.0.1:{sentinel.port}/main/0")


async def test_by_sentinel_when_the_first_is_gone() -> None:
    """One that does not answer, or does not listen, is passed by within the time of a call."""
    async with RedisServer() as server, RedisServer(sentinel_of=server.port) as sentinel, Link(sentinel.port) as silent:
        silent.hold()
        gone = RedisServer().port
        places = ",".join(f"127.0.0.1:{port}" for port in (gone, silent.port, sentinel.port))
        await assert_shared(f"redis+sentinel://{places}/main/0")


async def test_a_lane_that_is_joined_while_listening_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wanted from the very moment in which a connection is made is listened to as well."""
    async with RedisServer() as server:
        bus = RedisBus(server.url)
        subscribe, joining = PubSub.subscribe, list[asyncio.Task[None]]()

        async def slowly(listener: PubSub, *names: str) -> None:
            if not joining:
                joining.append(asyncio.create_task(bus._lanes.join(7)))
                await asyncio.sleep(0)
            await subscribe(listener, *names)

        monkeypatch.setattr(PubSub, "subscribe", slowly)
        await bus.open(no_orphan)
        await joining[0]
        client = server.client()
        assert await client.pubsub_numsub(asked(7)) == [(asked(7).encode(), 1)]
        await client.aclose()
        await bus.close()
