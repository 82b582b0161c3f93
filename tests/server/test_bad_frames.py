"""Sockets that are opened, or spoken to, in a wrong way: always a reply, a close frame or a status, never silence."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgpack
import pytest

from tests.support.http import start
from tests.support.server import RunningServer, serving

from .refusals import (
    BINARY,
    CLOSE,
    MOST_BYTES,
    PING,
    TEXT,
    Answer,
    ask,
    assert_object,
    assert_problem,
    close_code,
    connected,
    frame,
    handshake_bytes,
    read_answer,
    read_frame,
    shaken,
)
from .test_bad_input import MALFORMED, WRONG, changed

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("quiet")]

JSON, MSGPACK = "realtime.v1.json", "realtime.v1.msgpack"
UNKNOWN = "0123456789abcdef" * 2


class Talk:
    """A socket in one subprotocol, and one answer after another."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, binary: bool) -> None:
        self._reader, self._writer, self._binary = reader, writer, binary

    async def say(self, message: Any) -> dict[str, Any]:
        """Send a message, or bytes as they are, and read the reply."""
        encode = msgpack.packb if self._binary else _json_bytes
        data = message if isinstance(message, bytes) else encode(message)
        self._writer.write(frame(BINARY if self._binary else TEXT, data))
        opcode, payload = await read_frame(self._reader)
        assert opcode == (BINARY if self._binary else TEXT), payload
        assert len(payload) < MOST_BYTES
        reply: dict[str, Any] = msgpack.unpackb(payload) if self._binary else json.loads(payload)
        return reply

    async def refused(self, message: Any, code: str, field: str | None = None, names: str = "") -> dict[str, Any]:
        """Send what is refused; the reply. The socket must have outlived it."""
        reply = await self.say(message)
        assert reply["type"] == "error", reply
        assert_object(reply["error"], code, field, names)
        assert await self.say({"type": "ping", "ref": "still here"}) == {"type": "ok", "ref": "still here"}
        return reply


def _json_bytes(message: Any) -> bytes:
    return json.dumps(message).encode()


@asynccontextmanager
async def talking(server: RunningServer, protocol: str) -> AsyncIterator[Talk]:
    """A socket in that subprotocol."""
    async with shaken(server.address, protocol) as pair:
        yield Talk(*pair, binary=protocol == MSGPACK)


# A command, the field that is named, words of the sentence.
COMMANDS: dict[str, tuple[Any, str | None, str]] = {
    "array": ([], "type", "an object"),
    "number": (1, "type", "an object"),
    "null": (None, "type", "an object"),
    "empty": ({}, "type", "start, observe, unobserve, stop, ping"),
    "type-unknown": ({"type": "subscribe"}, "type", "start, observe, unobserve, stop, ping"),
    "type-number": ({"type": 1}, "type", "start, observe, unobserve, stop, ping"),
    "type-list": ({"type": ["ping"]}, "type", "start, observe, unobserve, stop, ping"),
    "type-of-the-server": ({"type": "ok"}, "type", "start, observe, unobserve, stop, ping"),
    "field-unknown": ({"type": "ping", "token": "k"}, "token", "Unknown field 'token'"),
    "observe-nothing": ({"type": "observe"}, "generation", "Missing field 'generation'"),
    "unobserve-nothing": ({"type": "unobserve"}, "generation", "Missing field"),
    "stop-nothing": ({"type": "stop"}, "generation", "Missing field"),
    "start-nothing": ({"type": "start"}, "request", "Missing field"),
    "start-text": ({"type": "start", "request": "x"}, "request", "got `str`"),
    "start-without-model": ({"type": "start", "request": {"prompt": "x"}}, "request.model", "Missing field"),
    "observe-text": ({"type": "start", "request": {"model": "demo/default"}, "observe": "no"}, "observe", "got `str`"),
    "generation-number": ({"type": "stop", "generation": 1}, "generation", "got `int`"),
    "generation-form": ({"type": "stop", "generation": "x"}, "generation", "matching"),
    "generation-line-end": ({"type": "stop", "generation": f"{UNKNOWN}\n"}, "generation", "matching"),
    "ref-boolean": ({"type": "ping", "ref": True}, "ref", "got `bool`"),
    "ref-float": ({"type": "ping", "ref": 1.5}, "ref", "got `float`"),
    "ref-list": ({"type": "ping", "ref": []}, "ref", "got `array`"),
    "ref-object": ({"type": "ping", "ref": {"a": 1}}, "ref", "got `object`"),
    "ref-long": ({"type": "ping", "ref": "x" * 65}, "ref", "length <= 64"),
    "pace": ({"type": "observe", "generation": UNKNOWN, "pace": "0"}, "pace", "pace is"),
    "pace-number": ({"type": "observe", "generation": UNKNOWN, "pace": 5}, "pace", "got `int`"),
    "flush": ({"type": "observe", "generation": UNKNOWN, "flush_ms": 10_001}, "flush_ms", "<= 10000"),
    "replay": ({"type": "observe", "generation": UNKNOWN, "replay": "all"}, "replay", "not one of those"),
    "view": ({"type": "observe", "generation": UNKNOWN, "view": "xml"}, "view", "not one of those"),
    "wire": ({"type": "observe", "generation": UNKNOWN, "wire": "sse"}, "wire", "Unknown field"),
    "key": ({"type": "start", "request": {"model": "demo/x"}, "idempotency_key": "a b"}, "idempotency_key", "matching"),
}


@pytest.mark.parametrize("protocol", [JSON, MSGPACK])
@pytest.mark.parametrize("case", COMMANDS)
async def test_wrong_command(server: RunningServer, protocol: str, case: str) -> None:
    """A command that is wrong is answered with what is wrong, and the socket goes on."""
    message, field, words = COMMANDS[case]
    async with talking(server, protocol) as talk:
        reply = await talk.refused(message, "bad_request", field, words)
        assert reply["ref"] is None


@pytest.mark.parametrize("protocol", [JSON, MSGPACK])
@pytest.mark.parametrize("ref", ["", "x" * 64, 0, -5, 2**53])
async def test_ref_of_a_refusal(server: RunningServer, protocol: str, ref: str | int) -> None:
    """A refusal is given to the command it is for."""
    async with talking(server, protocol) as talk:
        assert (await talk.refused({"type": "what", "ref": ref}, "bad_request", "type"))["ref"] == ref


@pytest.mark.parametrize("kind", ["observe", "stop"])
async def test_unknown_generation(server: RunningServer, kind: str) -> None:
    """A generation that is not there is answered as over HTTP."""
    async with talking(server, JSON) as talk:
        await talk.refused({"type": kind, "ref": 1, "generation": UNKNOWN}, "not_found", "generation")


async def test_unobserve_of_what_was_not_observed(server: RunningServer) -> None:
    """Not to observe what one does not observe is fine."""
    async with talking(server, JSON) as talk:
        reply = await talk.say({"type": "unobserve", "ref": 1, "generation": UNKNOWN})
        assert reply == {"type": "ok", "ref": 1, "generation": UNKNOWN}


@pytest.mark.parametrize("cursor", ["x", "a-01", "A-1", "a" * 3000])
async def test_bad_cursor(server: RunningServer, cursor: str) -> None:
    """A cursor this server never gave out is refused before anything is looked up."""
    async with talking(server, JSON) as talk:
        message = {"type": "observe", "generation": UNKNOWN, "after": cursor}
        await talk.refused(message, "bad_cursor", "after")


@pytest.mark.parametrize("case", WRONG)
async def test_wrong_request(server: RunningServer, case: str) -> None:
    """A start that HTTP refuses is refused here with the same sentence about the same field."""
    change, field, words = WRONG[case]
    async with talking(server, MSGPACK) as talk:
        reply = await talk.say({"type": "start", "ref": 1, "request": changed(change)})
        error = reply["error"]
        assert (error["code"], error["field"].removeprefix("request.")) == ("bad_request", field)
        assert words.removesuffix(f" {field!r}") in error["message"]


@pytest.mark.parametrize("case", MALFORMED)
async def test_malformed_json(server: RunningServer, case: str) -> None:
    """A text that is no JSON is answered, or closed for being no text, or for its size."""
    data = MALFORMED[case]
    async with shaken(server.address, JSON) as (reader, writer):
        writer.write(frame(TEXT, data))
        opcode, payload = await read_frame(reader)
        if opcode == CLOSE:
            assert close_code(payload) == (1009 if len(data) > 65536 else 1007)
            assert await reader.read() == b""
            return
        data.decode()
        assert json.loads(payload)["error"]["code"] == "bad_request"


def packed(inner: bytes) -> bytes:
    """A good `start`, but for the value in its metadata."""
    request = {"model": "demo/default", "prompt": "x", "metadata": {"n": 0}}
    whole: bytes = msgpack.packb({"type": "start", "request": request})
    assert whole.endswith(b"\xa1n\x00")
    return whole[:-1] + inner


# Messages that are no msgpack, or that JSON could not say.
MALFORMED_MSGPACK: dict[str, bytes] = {
    "empty": b"",
    "never-used": b"\xc1",
    "truncated": msgpack.packb({"type": "ping", "ref": "r"})[:-1],
    "two-values": msgpack.packb({"type": "ping"}) + b"\xc0",
    "json": b'{"type":"ping"}',
    "announced-and-absent": b"\xdd\xff\xff\xff\xff",
    "string-announced-and-absent": b"\xdb\xff\xff\xff\xff",
    "extension": packed(msgpack.packb(msgpack.ExtType(5, b"x"))),
    "timestamp-32": packed(msgpack.packb(msgpack.Timestamp(1, 0))),
    "timestamp-64": packed(msgpack.packb(msgpack.Timestamp(1, 2))),
    "timestamp-96": packed(msgpack.packb(msgpack.Timestamp(-1, 2))),
    "timestamp-as-ref": msgpack.packb({"type": "ping", "ref": msgpack.Timestamp(1, 2)}),
    "binary": packed(msgpack.packb(b"x")),
    "key-number": packed(msgpack.packb({1: 2})),
    "key-binary": packed(msgpack.packb({b"k": 2})),
    "key-nil": packed(msgpack.packb({None: 2})),
    "key-list": packed(b"\x81\x90\x01"),
    "nan": packed(msgpack.packb(float("nan"))),
    "infinity": packed(msgpack.packb(float("-inf"))),
    "integer-beyond-2^53": packed(msgpack.packb(2**53 + 1)),
    "no-utf-8": packed(b"\xa2\xff\xfe"),
    "surrogate": packed(b"\xa3\xed\xa0\x80"),
    "33-deep": packed(b"\x91" * 30 + b"\x01"),
    "33-deep-and-empty": packed(b"\x91" * 29 + b"\x90"),
    "60000-deep": packed(b"\x91" * 60_000 + b"\x01"),
}


@pytest.mark.parametrize("case", MALFORMED_MSGPACK)
async def test_malformed_msgpack(server: RunningServer, case: str) -> None:
    """A message that is no msgpack, or that JSON could not say, is answered and the socket goes on."""
    async with talking(server, MSGPACK) as talk:
        await talk.refused(MALFORMED_MSGPACK[case], "bad_request")


async def test_msgpack_32_deep_is_taken(server: RunningServer) -> None:
    """Nesting up to the limit, counted with the command itself, is fine."""
    async with talking(server, MSGPACK) as talk:
        assert (await talk.say(packed(b"\x91" * 29 + b"\x01")))["type"] == "ok"


# What ends a socket, and with which code.
FATAL: dict[str, tuple[str, bytes, int]] = {
    "binary-on-json": (JSON, frame(BINARY, b'{"type":"ping"}'), 1003),
    "empty-binary-on-json": (JSON, frame(BINARY, b""), 1003),
    "text-on-msgpack": (MSGPACK, frame(TEXT, b"x"), 1003),
    "no-utf-8": (JSON, frame(TEXT, b"\xff\xfe"), 1007),
    "cut-utf-8": (JSON, frame(TEXT, "é".encode()[:1]), 1007),
    "no-utf-8-in-pieces": (JSON, frame(TEXT, b"\xc3", fin=False) + frame(0, b"\x28"), 1007),
    "one-byte-over": (JSON, frame(TEXT, b" " * 65537), 1009),
    "a-megabyte": (JSON, frame(TEXT, b" " * 2**20), 1009),
    "a-megabyte-of-binary": (MSGPACK, frame(BINARY, b" " * 2**20), 1009),
    "over-in-pieces": (JSON, frame(TEXT, b" " * 40_000, fin=False) + frame(0, b" " * 40_000), 1009),
    "reserved-opcode": (JSON, frame(3, b""), 1002),
    "reserved-bit": (JSON, bytes([0xC1]) + frame(TEXT, b"x")[1:], 1002),
    "unmasked": (JSON, frame(TEXT, b"x", masked=False), 1002),
    "continuation-of-nothing": (JSON, frame(0, b"x"), 1002),
    "long-ping": (JSON, frame(PING, b"x" * 126), 1002),
    "ping-in-pieces": (JSON, frame(PING, b"x", fin=False), 1002),
    "close-of-one-byte": (JSON, frame(CLOSE, b"\x03"), 1002),
    "close-with-a-reserved-code": (JSON, frame(CLOSE, b"\x03\xed"), 1002),
    "close-with-a-reason-that-is-no-text": (JSON, frame(CLOSE, b"\x03\xe8\xff"), 1007),
}


@pytest.mark.parametrize("case", FATAL)
async def test_fatal_frame(server: RunningServer, case: str) -> None:
    """What makes no sense on a socket closes it with the code that says why, and the peer gets to read it."""
    protocol, data, code = FATAL[case]
    async with shaken(server.address, protocol) as (reader, writer):
        writer.write(data)
        opcode, payload = await read_frame(reader)
        assert (opcode, close_code(payload)) == (CLOSE, code)
        writer.write(frame(CLOSE, payload[:2]))
        assert await reader.read() == b""


async def test_ping_behind_a_fatal_frame(server: RunningServer) -> None:
    """In the same read it may be answered or not, but it is no fault of the server's."""
    async with shaken(server.address, JSON) as (reader, writer):
        writer.write(frame(TEXT, b"\xff\xfe") + frame(PING, b"hi"))
        while (told := await read_frame(reader))[0] != CLOSE:
            assert told == (10, b"hi")
        assert close_code(told[1]) == 1007
        writer.write(frame(CLOSE, told[1][:2]))
        assert await reader.read() == b""


async def test_exactly_the_limit(server: RunningServer) -> None:
    """A message of 64 KiB is read, also in pieces with a ping between them."""
    message = b'{"type":"ping"}'.ljust(65536)
    async with shaken(server.address) as (reader, writer):
        writer.write(frame(TEXT, message))
        assert await read_frame(reader) == (TEXT, b'{"type":"ok","ref":null}')
        writer.write(frame(TEXT, message[:9], fin=False) + frame(PING, b"p") + frame(0, message[9:]))
        assert [await read_frame(reader) for _ in range(2)] == [(10, b"p"), (TEXT, b'{"type":"ok","ref":null}')]


async def test_65th_observation(server: RunningServer) -> None:
    """One observation too many is refused; moving one that there is, and starting without one, is not."""
    body = {"model": "demo/default", "prompt": "x", "options": {"tokens": 200_000, "rate": 0.1, "fault": "slow_start"}}
    generations = [await start(server.address, **body) for _ in range(65)]
    async with shaken(server.address) as (reader, writer):

        async def reply_to(message: dict[str, Any]) -> dict[str, Any]:
            writer.write(frame(TEXT, json.dumps({**message, "ref": "mine"}).encode()))
            while True:
                reply: dict[str, Any] = json.loads((await read_frame(reader))[1])
                if reply.get("ref") == "mine":
                    return reply

        for generation in generations[:64]:
            assert (await reply_to({"type": "observe", "generation": generation}))["type"] == "ok"
        for message in ({"type": "observe", "generation": generations[64]}, {"type": "start", "request": body}):
            refusal = await reply_to(message)
            assert_object(refusal["error"], "limit_observations", names="64")
        assert (await reply_to({"type": "observe", "generation": generations[0]}))["type"] == "ok"
        started = await reply_to({"type": "start", "request": body, "observe": False})
        assert started["type"] == "ok"
        for generation in [*generations, started["generation"]]:
            assert (await reply_to({"type": "stop", "generation": generation}))["type"] == "ok"


HANDSHAKES: dict[str, tuple[list[tuple[str, str]], str, str | None]] = {
    "subprotocol": ([("Sec-WebSocket-Protocol", "graphql-ws")], "bad_request", "Sec-WebSocket-Protocol"),
    "subprotocol-v2": ([("Sec-WebSocket-Protocol", "realtime.v2.json, x")], "bad_request", "Sec-WebSocket-Protocol"),
}


@pytest.mark.parametrize("case", HANDSHAKES)
async def test_refused_handshake(server: RunningServer, case: str) -> None:
    """A handshake that asks for what is not spoken here gets a problem document."""
    headers, code, field = HANDSHAKES[case]
    assert_problem(await ask(server.address, handshake_bytes(server.address, headers)), code, field, "realtime.v1")


async def test_handshake_elsewhere(server: RunningServer) -> None:
    """A handshake with a query or at another path gets a problem document; a key in its query is not logged."""
    answer = await ask(server.address, handshake_bytes(server.address, target="/v1/ws?key=secret"))
    assert_problem(answer, "bad_request", "key")
    assert_problem(await ask(server.address, handshake_bytes(server.address, target="/v1/nope")), "not_found")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([(f"X-{n}", "1") for n in range(140)], 431),
        ([("X-Long", "x" * 9000)], 431),
        ([("Sec-WebSocket-Key", "again")], 400),
        ([("Sec-WebSocket-Version", "12")], 400),
    ],
    ids=["many-headers", "long-header", "two-keys", "two-versions"],
)
async def test_malformed_handshake(server: RunningServer, headers: list[tuple[str, str]], status: int) -> None:
    """A handshake that no browser would send is answered at once, and its connection is closed."""
    async with connected(server.address) as (reader, writer):
        writer.write(handshake_bytes(server.address, headers))
        answer: Answer = await read_answer(reader)
        assert answer.status == status
        assert len(answer.body) < MOST_BYTES
        assert await reader.read() == b""


async def test_first_subprotocol_that_is_spoken(server: RunningServer) -> None:
    """Of several subprotocols the first that is spoken here is named; who offers none is told of none."""
    answer = await ask(server.address, handshake_bytes(server.address, protocol=f"x, {MSGPACK}, {JSON}"))
    assert (answer.status, answer.headers["sec-websocket-protocol"]) == (101, MSGPACK)
    answer = await ask(server.address, handshake_bytes(server.address))
    assert (answer.status, "sec-websocket-protocol" in answer.headers) == (101, False)


async def test_no_room_for_another_socket() -> None:
    """One socket too many is refused with the time to come back."""
    async with serving(max_streams=1) as server, shaken(server.address):
        answer = await ask(server.address, handshake_bytes(server.address))
        assert_problem(answer, "overloaded", names="1 streams")
        assert int(answer.headers["retry-after"]) >= 1


async def test_start_while_draining() -> None:
    """A socket that was open before the drain can start nothing, and is told so."""
    async with serving() as server, talking(server, JSON) as talk:
        server.sessions.draining = True
        reply = await talk.refused({"type": "start", "ref": 7, "request": changed({})}, "draining")
        assert (reply["ref"], reply["error"]["retryable"]) == (7, True)


async def test_stop_of_what_ended(server: RunningServer) -> None:
    """A stop that comes too late is answered with what it found."""
    generation = await start(server.address, **changed({}))
    await server.finished(generation)
    async with talking(server, JSON) as talk:
        reply = await talk.say({"type": "stop", "ref": 1, "generation": generation})
        found = {"generation": generation, "state": "finished", "outcome": "completed"}
        assert reply == {"type": "ok", "ref": 1, **found}
