"""Row 15: tens of thousands of broken bodies, messages and frames at a server process: no failure, never silence."""

import asyncio
import json
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgpack
import pytest
import pytest_asyncio

from realtime.errors import ERRORS
from tests.server.refusals import (
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
from tests.server.running import running
from tests.support.http import request
from tests.support.server import Address

from .bending import COMMANDS, ID, REQUEST, bent, broken, json_bytes

# The full size takes minutes.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(1800)]

Amount = Callable[[int, int], int]
Part = Callable[[random.Random, int], Awaitable[Counter[str]]]

# At once, and how many requests go over one connection.
PARTS = 8
ON_ONE_CONNECTION = 500
# What is started by accident must not fill the server: that would be a 503, and rightly so.
FLAGS = ("--max-prompt-chars", "1000", "--max-live", "100000", "--total-s", "5")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Address]:
    """A server process, which at its end must have left nothing running, and have logged no error and no traceback."""
    async with running(*FLAGS) as (process, address):
        yield address
        async with asyncio.timeout(20):
            while await held(address):
                pass
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0
        wrong = [line for line in process.lines if " ERROR " in line or " CRITICAL " in line or "Traceback" in line]
        assert wrong == [], process.log[-10_000:]


async def held(address: Address) -> float:
    """How many generations a server drives, and how many observers it has."""
    lines = (await request(address, "GET", "/metrics")).body.decode().splitlines()
    assert any(line.startswith("realtime_live_generations ") for line in lines)
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith(("realtime_live_generations ", "realtime_observers{"))
    )


async def in_parts(what: str, most: int, part: Part) -> Counter[str]:
    """Share out so many refusals over connections at once; says what came of it and of which seed."""
    seed = random.randrange(2**32)
    sizes = [most // PARTS + (n < most % PARTS) for n in range(PARTS)]
    try:
        parts = await asyncio.gather(*(part(random.Random(seed + n), size) for n, size in enumerate(sizes)))
    finally:
        print(f"\n{what}: seed {seed}", end="")
    found = sum(parts, Counter())
    print(f", {found.total()} sent: {dict(found.most_common())}")
    return found


def check(answer: Answer) -> str:
    """Hold an answer to something broken, or to what by accident was not, to the rules of all answers; its code."""
    assert answer.status < 500, answer
    if answer.headers.get("content-type") == "application/problem+json":
        problem = answer.json()
        assert problem["status"] == answer.status == ERRORS[problem["code"]].status
        assert len(answer.body) < MOST_BYTES
        return str(problem["code"])
    assert answer.status < 300 or len(answer.body) < MOST_BYTES
    return str(answer.status)


async def test_bodies(server: Address, amount: Amount) -> None:
    """Each broken body has its answer, none is the server's fault, and its connection goes on."""

    async def part(rng: random.Random, most: int) -> Counter[str]:
        found: Counter[str] = Counter()
        while most > (refused := found.total() - found["201"]):
            async with connected(server) as (reader, writer):
                for _ in range(min(ON_ONE_CONNECTION, most - refused)):
                    body = json_bytes(bent(rng, REQUEST))
                    body = broken(rng, body) if rng.random() < 0.5 else body
                    writer.write(request_bytes(server, "POST", "/v1/generations", body=body))
                    answer = await read_answer(reader)
                    assert answer.status in {201, 400, 413}, (body, answer)
                    found[check(answer)] += 1
        return found

    await in_parts("bodies", amount(10_000, 100_000), part)
    assert (await request(server, "GET", "/livez")).status == 200


async def test_targets(server: Address, amount: Amount) -> None:
    """Broken paths, queries and headers are answered as requests, or as no HTTP at all."""
    targets = [
        f"/v1/generations/{ID}/events?after=a-1&replay=merged&pace=5,6&flush_ms=1&wire=ndjson",
        "/v1/conversations/c/events?wait=0&follow=0&view=json",
        f"/v1/generations?limit=5&before={ID}&conversation=c",
        f"/v1/generations/{ID}",
    ]
    no_line_end, no_space = {10: None, 13: None}, {10: None, 13: None, 32: None}

    async def part(rng: random.Random, most: int) -> Counter[str]:
        found: Counter[str] = Counter()
        for _ in range(most):
            headers = {"Accept": "text/event-stream;q=0.5, */*", "Last-Event-ID": "a-1", "Prefer": "wait=0"}
            name = rng.choice(list(headers))
            headers[name] = broken(rng, headers[name].encode()).decode("latin-1").translate(no_line_end)
            target = broken(rng, rng.choice(targets).encode()).decode("latin-1").translate(no_space)
            async with connected(server) as (reader, writer):
                writer.write(request_bytes(server, rng.choice(["GET", "POST", "DELETE", "PUT"]), target, headers))
                found[check(await read_answer(reader))] += 1
        return found

    await in_parts("targets", amount(1_000, 10_000), part)


async def test_requests(server: Address, amount: Amount) -> None:
    """Broken HTTP is answered, or its connection is closed; the server goes on."""
    whole = request_bytes(server, "POST", "/v1/generations", {"Connection": "close"}, json_bytes(REQUEST))
    handshake = handshake_bytes(server, protocol="realtime.v1.json")

    async def part(rng: random.Random, most: int) -> Counter[str]:
        found: Counter[str] = Counter()
        for _ in range(most):
            async with connected(server) as (reader, writer):
                writer.write(broken(rng, rng.choice([whole, handshake])))
                writer.write_eof()
                try:
                    found[check(await read_answer(reader))] += 1
                except (asyncio.IncompleteReadError, ConnectionResetError):
                    found["closed"] += 1
        return found

    await in_parts("requests", amount(1_000, 10_000), part)
    assert (await request(server, "GET", "/livez")).status == 200


@pytest.mark.parametrize("protocol", ["realtime.v1.json", "realtime.v1.msgpack"])
async def test_messages(server: Address, protocol: str, amount: Amount) -> None:
    """Each broken message has its reply, or a close frame that says why."""
    binary = protocol.endswith("msgpack")

    async def answer_to(reader: asyncio.StreamReader, data: bytes) -> str:
        # What was started by accident is observed too: its frames come between the replies.
        while True:
            opcode, payload = await read_frame(reader)
            if opcode == CLOSE:
                assert close_code(payload) == 1007, (data, payload)
                return "closed"
            reply: dict[str, Any] = msgpack.unpackb(payload) if binary else json.loads(payload)
            assert len(payload) < MOST_BYTES or reply["type"] == "events"
            if reply["type"] == "error":
                assert ERRORS[reply["error"]["code"]].status < 500, (data, reply)
                return str(reply["error"]["code"])
            if reply["type"] == "ok":
                return "ok"

    async def part(rng: random.Random, most: int) -> Counter[str]:
        found: Counter[str] = Counter()
        while found.total() - found["ok"] < most:
            async with shaken(server, protocol) as (reader, writer):
                answer = ""
                while answer != "closed" and found.total() - found["ok"] < most:
                    message = bent(rng, rng.choice(COMMANDS))
                    data = msgpack.packb(message) if binary else json_bytes(message)
                    data = broken(rng, data) if rng.random() < 0.5 else data
                    writer.write(frame(BINARY if binary else TEXT, data))
                    answer = await answer_to(reader, data)
                    found[answer] += 1
        return found

    await in_parts(protocol, amount(4_500, 45_000), part)


async def test_frames(server: Address, amount: Amount) -> None:
    """Whatever a broken frame is taken for, the socket ends in a close frame that says why."""

    async def part(rng: random.Random, most: int) -> Counter[str]:
        found: Counter[str] = Counter()
        while found.total() - found["goodbye"] < most:
            async with shaken(server, "realtime.v1.json") as (reader, writer):
                data = bytearray(frame(rng.randrange(16), json_bytes({"type": "ping"})[: rng.randrange(16)]))
                data[rng.randrange(2)] ^= 1 << rng.randrange(8)
                # Enough to be all that it announced, and then no frame at all.
                writer.write(bytes(data) + b"\xff" * 70_000)
                found[await end_of(reader, bytes(data))] += 1
        return found

    await in_parts("frames", amount(1_000, 10_000), part)
    assert (await request(server, "GET", "/livez")).status == 200


async def end_of(reader: asyncio.StreamReader, sent: bytes) -> str:
    """How a socket ended on which no frame made sense: the code of its close frame."""
    opcode, payload = TEXT, b""
    try:
        while opcode != CLOSE:
            opcode, payload = await read_frame(reader)
    except (asyncio.IncompleteReadError, ConnectionResetError):
        # Who has said a proper goodbye and goes on talking may miss the answer.
        assert sent[0] == 0x80 | CLOSE, sent
        return "goodbye"
    if not payload:
        return "goodbye"
    if 0x80 | CLOSE in sent[2:] and close_code(payload) >= 3000:
        # What a shorter frame left over happened to be a goodbye, whose code comes back.
        return "goodbye"
    assert close_code(payload) in {1002, 1003, 1007, 1009}, (sent, payload)
    return str(close_code(payload))
