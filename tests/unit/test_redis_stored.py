"""What is stored and told in Redis: this release reads what the one before it wrote, and what a later one adds."""

import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from realtime.bus.base import Claim
from realtime.bus.redis import RedisBus
from realtime.bus.redis.batches import decode_meta, decode_written
from realtime.bus.redis.keys import log_keys, tenant_keys
from realtime.bus.redis.messages import read_message, stopped_by
from realtime.bus.redis.writer import epoch_of
from realtime.events import PHASES, Text
from realtime.log import EventLog

from ..support.redis_server import RedisServer
from .logs import ATTEMPT, DONE
from .make_stored import FENCE, PATH, plain, written
from .test_bus import created, meta, no_orphan

STORED: dict[str, Any] = json.loads(PATH.read_text())


def stored(section: str) -> list[Any]:
    """The cases of a section."""
    return [pytest.param(case, id=str(number)) for number, case in enumerate(STORED[section])]


def test_the_file_is_what_this_release_writes() -> None:
    """Byte for byte; after a change that may be made, `python -m tests.unit.make_stored`."""
    assert PATH.read_text() == written()


def test_every_type_of_event_is_in_it() -> None:
    """None was left out."""
    said = [event["type"] for case in STORED["entries"] for _, event in case["says"]["batch"][1]]
    assert set(said) == {kind.__struct_config__.tag for kind in PHASES}


def _more(value: Any) -> Any:
    """The same with an unknown field or element wherever a later release may add one."""
    if isinstance(value, dict):
        return {**value, "later": {"more": [1]}}
    first, events = value
    return [first, [[at, _more(event), "later"] for at, event in events], {"later": 1}]


@pytest.mark.parametrize("case", stored("metas"))
def test_a_meta_is_read(case: dict[str, Any]) -> None:
    """As it was written, and as a later release may write it."""
    data = bytes.fromhex(case["stored"])
    assert plain(decode_meta(data)) == case["says"]
    later = msgspec.msgpack.encode(_more(msgspec.msgpack.decode(data)))
    assert plain(decode_meta(later)) == case["says"]


@pytest.mark.parametrize("case", stored("entries"))
def test_a_batch_is_read(case: dict[str, Any]) -> None:
    """As it was written, and as a later release may write it."""
    data = bytes.fromhex(case["stored"])
    assert plain(decode_written(data)) == case["says"]
    fence, _, batch = data.partition(b" ")
    wire: Any = msgspec.json if batch.startswith(b"[") else msgspec.msgpack
    later = fence + b" " + wire.encode(_more(wire.decode(batch)))
    assert plain(decode_written(later)) == case["says"]


@pytest.mark.parametrize("case", stored("messages"))
def test_a_message_is_read(case: dict[str, Any]) -> None:
    """As it was written, and, where it is words, with more of them."""
    data = bytes.fromhex(case["stored"])
    assert (type(read_message(data)).__name__, plain(read_message(data))) == (case["kind"], case["says"])
    if case["kind"] != "Told":
        assert plain(read_message(data + b" later and later")) == case["says"]


def test_a_stop_by_someone_unknown_is_kept() -> None:
    """A word that only a later release has for whoever asked must not end up in a log that nobody could read."""
    assert stopped_by("owner") == "owner"
    assert stopped_by("budget") == "server"
    assert read_message(b"0" * 32 + b"stop budget").by == "server"  # type: ignore[union-attr]


@pytest.fixture
async def redis() -> AsyncIterator[RedisServer]:
    """A Redis of its own."""
    async with RedisServer() as server:
        yield server


async def test_a_log_is_found_as_it_was_left(redis: RedisServer) -> None:
    """Keys, fields and entries that a release left behind are a log, a key and a conversation to this one."""
    case = STORED["metas"][1]
    left = decode_meta(bytes.fromhex(case["stored"]))
    keys, tenant = log_keys(left.tenant, left.generation), tenant_keys(left.tenant, left.subject)
    client = redis.client()
    fields: Any = {
        "token": "t", "about": bytes.fromhex(case["stored"]), "fence": FENCE, "branches": f"0:{FENCE}", "top": 1,
        "claim": "", "later": "more",
    }  # fmt: skip
    await client.hset(keys.meta, mapping=fields)
    await client.xadd(keys.log, {"b": bytes.fromhex(STORED["entries"][0]["stored"])}, id="1-0")
    await client.zadd(tenant.all, {left.generation: left.created_ms})
    await client.zadd(tenant.conversation("c"), {left.generation: left.created_ms})
    await client.hset(
        tenant.idempotency("k"), mapping={"generation": left.generation, "fingerprint": b"body", "later": "more"}
    )
    await client.aclose()
    bus = RedisBus(redis.url)
    await bus.open(no_orphan)
    log = await bus.find(left.tenant, left.generation)
    assert log is not None
    assert (plain(log.meta), log.epoch, log.head) == (case["says"], epoch_of(FENCE), 1)
    assert await bus.claimed(left.tenant, None, Claim("k", b"body")) is log
    assert list(await bus.conversation(left.tenant, None, "c")) == [log]
    assert [one.meta for one in (await bus.page(left.tenant, None, None, 9)).logs] == [left]
    await bus.close()


async def test_a_log_is_left_as_it_is_found(redis: RedisServer) -> None:
    """The other way round: the fields and the entries of a log that this release makes, writes and ends."""
    bus, client = RedisBus(redis.url), redis.client()
    await bus.open(no_orphan)
    writer = await created(bus, meta(1), Claim("key", b"body"))
    keys = log_keys("t", meta(1).generation)
    assert set(await client.hgetall(keys.meta)) == {b"token", b"about", b"fence", b"branches", b"top", b"claim"}
    writer.append(Text("a"))
    await bus.stop("t", meta(1).generation, "owner")
    assert await writer.seal(DONE) == "won"
    fields: Any = await client.hgetall(keys.meta)
    assert {b"stop": fields[b"stop"], b"top": fields[b"top"]} == {b"stop": b"owner", b"top": b"4"}
    assert fields[b"ended"] == fields[b"fence"] == fields[b"branches"].removeprefix(b"0:")
    log = EventLog(decode_meta(fields[b"about"]), epoch_of(int(fields[b"fence"])), limit_bytes=None)
    entries: Any = await client.xrange(keys.log)
    for name, entry in entries:
        ((field, data),) = entry.items()
        batch = decode_written(data).batch
        for timed in batch.events:
            log.append(timed.event, timed.at)
        assert (name, field, batch.first + len(batch.events) - 1) == (f"{log.head}-0".encode(), b"b", log.head)
    assert [entry.event for entry in log.since(1)] == [ATTEMPT, Text("a"), DONE]
    assert log.meta == meta(1)
    claim = await client.hgetall(tenant_keys("t", None).idempotency("key"))
    assert claim == {b"generation": meta(1).generation.encode(), b"fingerprint": b"body"}
    await client.aclose()
    await bus.close()
