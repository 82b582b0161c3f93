"""Thousands of broken requests and frames at a real server: no failure, no traceback, and never silence."""

import asyncio
import json
import logging
import random
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest

from tests.support.http import request
from tests.support.server import RunningServer

from .refusals import (
    BINARY,
    CLOSE,
    MOST_BYTES,
    TEXT,
    Answer,
    close_code,
    connected,
    frame,
    handshake_bytes,
    read_answer,
    read_frame,
    request_bytes,
    shaken,
)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("flawless")]

ID = "0123456789abcdef" * 2
# A command may be understood by accident: nothing it then does may take long.
REQUEST: dict[str, Any] = {
    "model": "demo/default",
    "prompt": "x",
    "system": "y",
    "max_tokens": 3,
    "stop": ["z"],
    "options": {"tokens": 1, "rate": 100_000, "seed": 1},
    "conversation": "c",
    "if_busy": "allow",
    "deadlines": {"total": 9, "idle": 1.5},
    "metadata": {"a": [1, {"b": None}]},
}
COMMANDS: list[dict[str, Any]] = [
    {"type": "start", "ref": 1, "request": REQUEST, "observe": False, "idempotency_key": "k"},
    {"type": "observe", "ref": "r", "generation": ID, "after": "a-1", "replay": "merged", "pace": "5,6", "flush_ms": 9},
    {"type": "unobserve", "ref": None, "generation": ID},
    {"type": "stop", "ref": -1, "generation": ID},
    {"type": "ping", "ref": "r"},
]
ODD: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**53, 2**53 + 1, 2**63 - 1, 0.0, -0.5, 1e308, 5e-324),
    *("", " ", "x" * 300, "\x00", "\n", "é", "😀", "\u2028", "null", "NaN", "../..", "%00", "{}", ID, "demo/default"),
    *([], {}, [None], [[]], {"": ""}, {"type": "text"}, ["x"] * 40, {"a": {"a": {"a": {}}}}),
]
TOKENS = b'{}[]",:\\ \n\x00\xff\xc3\xed\xa0\x800123456789.eE+-truefalsenullNaN'


@pytest.fixture
def flawless(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Holds a test to no error and no traceback in any log."""
    yield
    wrong = [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR or record.exc_info]
    assert wrong == []


def bent(rng: random.Random, value: Any) -> Any:
    """A copy of a value with one thing in it changed to something odd, taken away, or put in."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        copy = dict(value)
        match rng.randrange(5):
            case 0:
                del copy[key]
            case 1:
                copy[rng.choice(["", "x", "type", "é", "__proto__", key * 50])] = rng.choice(ODD)
            case _:
                copy[key] = bent(rng, value[key])
        return copy
    if isinstance(value, list) and value and rng.random() < 0.6:
        at = rng.randrange(len(value))
        return [*value[:at], bent(rng, value[at]), *value[at + 1 :]]
    return rng.choice(ODD)


def broken(rng: random.Random, data: bytes) -> bytes:
    """Bytes with a few of them cut, repeated, or replaced."""
    broke = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        at, size = rng.randrange(len(broke) + 1), rng.randrange(1, 9)
        match rng.randrange(4):
            case 0:
                del broke[at : at + size]
            case 1:
                broke[at:at] = broke[at : at + size] * rng.randrange(1, 30)
            case 2:
                broke[at : at + 1] = bytes([rng.randrange(256)])
            case _:
                broke[at:at] = bytes(rng.choices(TOKENS, k=size))
    return bytes(broke)


def json_bytes(value: Any) -> bytes:
    """JSON as a client would write it."""
    return json.dumps(value, ensure_ascii=False).encode()


def check(answer: Answer) -> None:
    """An answer to something broken, or to what by accident was not."""
    assert answer.status < 500, answer
    assert len(answer.body) < MOST_BYTES or answer.status < 300
    if answer.headers.get("content-type") == "application/problem+json":
        assert answer.json()["status"] == answer.status


@pytest.mark.parametrize("seed", range(4))
async def test_bodies(server: RunningServer, seed: int) -> None:
    """Five hundred broken bodies on one connection: each has its answer, and none is the server's fault."""
    rng = random.Random(seed)
    async with connected(server.address) as (reader, writer):
        for _ in range(500):
            body = json_bytes(bent(rng, REQUEST))
            if rng.random() < 0.5:
                body = broken(rng, body)
            writer.write(request_bytes(server.address, "POST", "/v1/generations", body=body))
            answer = await read_answer(reader)
            check(answer)
            assert answer.status in {200, 201, 400, 409, 413}, (body, answer)


@pytest.mark.parametrize("seed", range(4))
async def test_targets(server: RunningServer, seed: int) -> None:
    """Broken paths, queries and headers are answered as requests, or as no HTTP at all."""
    rng = random.Random(seed)
    targets = [
        f"/v1/generations/{ID}/events?after=a-1&replay=merged&pace=5,6&flush_ms=1&wire=ndjson",
        "/v1/conversations/c/events?wait=0&follow=0&view=json",
        f"/v1/generations?limit=5&before={ID}&conversation=c",
        f"/v1/generations/{ID}",
    ]
    for _ in range(150):
        headers = {"Accept": "text/event-stream;q=0.5, */*", "Last-Event-ID": "a-1", "Prefer": "wait=0"}
        name = rng.choice(list(headers))
        headers[name] = broken(rng, headers[name].encode()).decode("latin-1").translate({10: None, 13: None})
        target = broken(rng, rng.choice(targets).encode()).decode("latin-1").translate({10: None, 13: None, 32: None})
        async with connected(server.address) as (reader, writer):
            writer.write(request_bytes(server.address, rng.choice(["GET", "POST", "DELETE", "PUT"]), target, headers))
            check(await read_answer(reader))


@pytest.mark.parametrize("seed", range(3))
async def test_requests(server: RunningServer, seed: int) -> None:
    """Broken HTTP is answered, or its connection is closed; the server goes on."""
    rng = random.Random(seed)
    whole = request_bytes(server.address, "POST", "/v1/generations", {"Connection": "close"}, json_bytes(REQUEST))
    handshake = handshake_bytes(server.address, protocol="realtime.v1.json")
    for _ in range(100):
        async with connected(server.address) as (reader, writer):
            writer.write(broken(rng, rng.choice([whole, handshake])))
            writer.write_eof()
            try:
                check(await read_answer(reader))
            except (asyncio.IncompleteReadError, ConnectionResetError):
                continue
    assert (await request(server.address, "GET", "/livez")).status == 200


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("protocol", ["realtime.v1.json", "realtime.v1.msgpack"])
async def test_messages(server: RunningServer, protocol: str, seed: int) -> None:
    """Four hundred broken messages: each has its reply, or a close frame that says why."""
    rng = random.Random(seed)
    binary = protocol.endswith("msgpack")
    sent = 0
    while sent < 400:
        async with shaken(server.address, protocol) as (reader, writer):
            opcode = 0
            while opcode != CLOSE and sent < 400:
                message = bent(rng, rng.choice(COMMANDS))
                data = msgpack.packb(message) if binary else json_bytes(message)
                data = broken(rng, data) if rng.random() < 0.5 else data
                writer.write(frame(BINARY if binary else TEXT, data))
                sent += 1
                reply: dict[str, Any] = {}
                # What was started by accident is observed too: its frames come between the replies.
                while reply.get("type") not in {"ok", "error"}:
                    opcode, payload = await read_frame(reader)
                    if opcode == CLOSE:
                        assert close_code(payload) == 1007, payload
                        break
                    reply = msgpack.unpackb(payload) if binary else json.loads(payload)
                    assert len(payload) < MOST_BYTES or reply["type"] == "events"
                assert reply.get("error", {}).get("code") != "internal", (data, reply)


@pytest.mark.parametrize("seed", range(4))
async def test_frames(server: RunningServer, seed: int) -> None:
    """Whatever a broken frame is taken for, the socket ends in a close frame that says why."""
    rng = random.Random(seed)
    for _ in range(100):
        async with shaken(server.address, "realtime.v1.json") as (reader, writer):
            data = bytearray(frame(rng.randrange(16), json_bytes({"type": "ping"})[: rng.randrange(16)]))
            data[rng.randrange(2)] ^= 1 << rng.randrange(8)
            # Enough to be all that it announced, and then no frame at all.
            writer.write(bytes(data) + b"\xff" * 70_000)
            opcode, payload = TEXT, b""
            try:
                while opcode != CLOSE:
                    opcode, payload = await read_frame(reader)
            except (asyncio.IncompleteReadError, ConnectionResetError):
                # Who has said goodbye and goes on talking may miss the answer.
                assert data[0] & 0x0F == CLOSE, data
                continue
            assert not payload or close_code(payload) in {1002, 1003, 1007, 1009}, payload


async def test_nothing_was_left(server: RunningServer) -> None:
    """What was understood by accident has ended, and no connection is still counted."""
    async with asyncio.timeout(20):
        assert await server.sessions.tasks.drain(15)
        while server.application.service.open_streams:
            await request(server.address, "GET", "/livez")
