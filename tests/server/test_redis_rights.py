"""Servers that reach their Redis over TLS, as the user of the documentation, and do all that servers do."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as aioredis
from redis.exceptions import NoPermissionError, ResponseError

from realtime.bus.base import Claim
from realtime.bus.redis import RedisBus
from realtime.bus.redis.keys import log_keys
from realtime.log import Meta
from realtime.principal import ANONYMOUS
from tests.support.http import request, start, stop
from tests.support.observer import Observer
from tests.support.pair import Pair, paired
from tests.support.redis_access import certificates, documented_rights
from tests.support.redis_server import RedisServer
from tests.unit.test_bus import no_orphan

_QUICK: dict[str, Any] = {"model": "demo/default", "options": {"rate": 10_000, "tokens": 3}}
# Not over before whoever waits for it has begun to.
_SOME_SECONDS: dict[str, Any] = {"model": "demo/default", "options": {"rate": 20, "tokens": 60}}
_ENDLESS: dict[str, Any] = {
    "model": "demo/default", "options": {"rate": 20, "tokens": 50_000}, "on_disconnect": "continue",
}  # fmt: skip


async def generations(pair: Pair) -> None:
    """Watch one to its end, a long feed, and one that is stopped elsewhere."""
    feed = {"model": "demo/default", "options": {"rate": 50_000, "tokens": 3000}, "retain": "window"}
    for body in (_QUICK, feed):
        observer = Observer(await start(pair.one.address, **body))
        await observer.follow(pair.other.address, "sse")
        assert observer.events[-1]["outcome"] == "completed"
    generation = await start(pair.one.address, **_ENDLESS)
    await stop(pair.other.address, generation)
    assert (await pair.one.finished(generation)).finished is not None
    left = await start(pair.one.address, **{**_ENDLESS, "on_disconnect": "stop"}, grace=0)
    await Observer(left).watch(pair.other.address, "ndjson", count=3)
    await pair.one.finished(left)


async def names(pair: Pair) -> None:
    """Repeat a start, be refused by a conversation and replace what is active in it, list, and erase."""
    answers = [
        await request(server.address, "POST", "/v1/generations", {"prompt": "x", **_QUICK}, {"Idempotency-Key": "k"})
        for server in (pair.one, pair.other)
    ]
    assert [answer.status for answer in answers] == [201, 200]
    first = await start(pair.one.address, conversation="c", **_ENDLESS)
    busy = await request(
        pair.other.address, "POST", "/v1/generations", {"prompt": "x", "conversation": "c", **_ENDLESS}
    )
    assert busy.json()["generation"] == first
    last = await start(pair.other.address, conversation="c", if_busy="replace", **_ENDLESS)
    waiting = request(pair.one.address, "GET", "/v1/conversations/d/events?wait=20&wire=ndjson")
    waited, said = await asyncio.gather(waiting, start(pair.other.address, conversation="d", **_SOME_SECONDS))
    assert said.encode() in waited.body
    page = (await request(pair.one.address, "GET", "/v1/generations?limit=2")).json()
    assert [each["id"] for each in page["generations"]] == [said, last]
    more = (await request(pair.one.address, "GET", f"/v1/generations?before={page['next']}")).json()
    assert more["generations"][0]["id"] == first
    assert (await request(pair.other.address, "DELETE", f"/v1/generations/{said}")).status == 204
    await stop(pair.one.address, last)


async def losses(pair: Pair) -> None:
    """Write again what Redis has lost, and end what was left behind."""
    client = pair.redis.client()
    generation = await start(pair.one.address, **_ENDLESS)
    keys = log_keys(ANONYMOUS.tenant, generation)
    await client.unlink(keys.meta, keys.log)
    async with asyncio.timeout(20):
        while await client.exists(keys.meta, keys.log) != 2:
            pass
    await stop(pair.other.address, generation)
    gone = RedisBus(pair.redis.url)
    await gone.open(no_orphan)
    left = Meta("f" * 32, ANONYMOUS.tenant, None, "demo", "demo/default", 1)
    await gone.create(left, Claim())
    await gone.close()
    # Its lease is over now, and not in some seconds.
    keys = log_keys(left.tenant, left.generation)
    await client.zadd(keys.leases, {keys.member: 1})
    await client.aclose()
    finished = (await pair.one.finished(left.generation)).finished
    assert finished is not None
    assert finished.error is not None
    assert finished.error.code == "driver_lost"


async def test_no_more_is_asked_for_than_is_documented(tmp_path: Path) -> None:
    """Of everything that servers do Redis has denied nothing."""
    tls = certificates(tmp_path, of_clients=True)
    async with RedisServer(*tls.options, tls=True) as redis:
        client = redis.client()
        await client.execute_command("ACL", "SETUSER", "realtime", "on", ">secret", *documented_rights())  # type: ignore[no-untyped-call]
        files = f"ssl_ca_certs={tls.authority}&ssl_certfile={tls.own}&ssl_keyfile={tls.own}"
        async with paired(redis, f"rediss://realtime:secret@127.0.0.1:{redis.tls_port}/0?{files}") as pair:
            await generations(pair)
            await names(pair)
            await losses(pair)
        assert await client.acl_log() == []
        await client.aclose()


async def test_nothing_else_is_allowed() -> None:
    """Neither other keys and channels nor what is about the whole Redis, directly or by a script."""
    async with RedisServer() as redis:
        client = redis.client()
        await client.execute_command("ACL", "SETUSER", "realtime", "on", ">secret", *documented_rights())  # type: ignore[no-untyped-call]
        await client.aclose()
        user = aioredis.Redis(host="127.0.0.1", port=redis.port, username="realtime", password="secret")
        assert await user.get("rt1:any") is None
        for command in (
            "GET other",
            "PUBLISH other x",
            "KEYS *",
            "FLUSHALL",
            "CONFIG GET *",
            "MONITOR",
            "SCRIPT FLUSH",
        ):
            with pytest.raises(NoPermissionError):
                await user.execute_command(*command.split())  # type: ignore[no-untyped-call]
        with pytest.raises(ResponseError, match="can't access"):
            await user.eval("return redis.call('GET', 'other')", 0)
        await user.aclose()
