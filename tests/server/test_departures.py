"""Peers that leave where it is easily missed: before their stream began, behind what they sent, at its very end."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from starlette.middleware.base import BaseHTTPMiddleware

from realtime.principal import ANONYMOUS, Principal
from realtime.prompt import Prompt
from realtime.providers.base import Ended
from realtime.providers.generator import GeneratorProvider
from realtime.server.app import Application
from realtime.server.connections import DeadlineProtocol
from realtime.server.guard import App
from realtime.server.short_way import HttpShortWay
from realtime.server.socket_protocol import SocketProtocol
from tests.support.http import request, start
from tests.support.raw import SocketConnection
from tests.support.server import RunningServer, serving
from transports.asgi import Receive, Scope, Send
from transports.http import HttpStream
from transports.pump import Pump
from transports.websocket import Socket

from .refusals import connected, handshake_bytes, request_bytes
from .test_slow_peers import gone, stalled

PATIENCE_S = 20
FOLLOW = "/v1/conversations/c/events?follow=1"
# Nothing but the departure itself may tell of it: a heartbeat would fail and do so too.
QUIET: dict[str, Any] = {"heartbeat_s": 600}
KINDS = (DeadlineProtocol, SocketProtocol, HttpShortWay, HttpStream, Socket, Pump)

both_ways = pytest.mark.parametrize("direct", [True, False])


class Lost:
    """The ports whose connections the server knows to be lost."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ports: set[int] = set()
        original = DeadlineProtocol.connection_lost

        def noted(protocol: DeadlineProtocol, exc: Exception | None) -> None:
            original(protocol, exc)
            assert protocol.client is not None
            self.ports.add(protocol.client[1])

        monkeypatch.setattr(DeadlineProtocol, "connection_lost", noted)

    async def leave(self, server: RunningServer, writer: asyncio.StreamWriter) -> None:
        """Break a connection off and wait until the server has noticed."""
        port: int = writer.get_extra_info("sockname")[1]
        writer.transport.abort()
        async with asyncio.timeout(PATIENCE_S):
            while port not in self.ports:
                await request(server.address, "GET", "/livez")


async def nothing_open(server: RunningServer) -> None:
    """Wait until no stream has a place any more."""
    async with asyncio.timeout(PATIENCE_S):
        while server.application.service.open_streams:
            assert (await request(server.address, "GET", "/livez")).status == 200


async def silent(prompt: Prompt) -> AsyncIterator[str]:
    """A model that never says anything."""
    await asyncio.Event().wait()
    yield ""


def streamed(server: RunningServer, *headers: tuple[str, str], **body: Any) -> bytes:
    """A start whose answer is the stream."""
    asked = json.dumps({"prompt": "Hi", "stream": True, **body}).encode()
    return request_bytes(server.address, "POST", "/v1/generations", headers, asked)


@both_ways
async def test_one_that_leaves_while_it_is_asked_who_it_is(direct: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its stream opens after it has gone, and does not stay."""
    lost, asked, answered = Lost(monkeypatch), asyncio.Event(), asyncio.Event()

    async def authenticate(scope: Scope) -> Principal:
        if scope["path"].endswith("/events"):
            asked.set()
            await answered.wait()
        return ANONYMOUS

    def prepare(application: Application) -> None:
        application.service._authenticate = authenticate

    providers = {"s": GeneratorProvider(silent)}
    async with serving(providers, direct=direct, prepare=prepare, grace_s=0, **QUIET) as server:
        generation = await start(server.address, model="s/default")
        async with connected(server.address) as (_, writer):
            writer.write(request_bytes(server.address, "GET", f"/v1/generations/{generation}/events"))
            await asked.wait()
            await lost.leave(server, writer)
        answered.set()
        # It ends because an observer came and left.
        assert (await server.finished(generation)).observers == 0
        await nothing_open(server)


@both_ways
async def test_one_that_leaves_while_another_is_replaced(direct: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it started is stopped like anything that nobody observes any more."""
    lost, closing, closed = Lost(monkeypatch), asyncio.Event(), asyncio.Event()

    async def slow_to_close(prompt: Prompt) -> AsyncIterator[str]:
        try:
            yield "x"
            await asyncio.Event().wait()
        finally:
            closing.set()
            await closed.wait()

    providers = {"s": GeneratorProvider(slow_to_close)}
    async with serving(providers, direct=direct, grace_s=0, **QUIET) as server:
        asked = streamed(server, model="s/default", conversation="c", if_busy="replace")
        async with connected(server.address) as (reader, first), connected(server.address) as (_, second):
            first.write(asked)
            await reader.readuntil(b'"type":"text"')
            second.write(asked)
            await closing.wait()
            await lost.leave(server, second)
            closed.set()
            await reader.readuntil(b"0\r\n\r\n")
        async with asyncio.timeout(PATIENCE_S):
            while await states(server) != ["finished", "finished"]:
                pass
        await nothing_open(server)
        assert server.sessions.statistics().observers == 0


async def states(server: RunningServer) -> list[str]:
    """Of the generations of the conversation."""
    answer = await request(server.address, "GET", "/v1/generations?conversation=c")
    return [generation["state"] for generation in answer.json()["generations"]]


@both_ways
async def test_an_upgrade_behind_a_stream_ends_both(direct: bool) -> None:
    """Two protocols on one connection would each miss its end."""
    async with serving(direct=direct, **QUIET) as server, connected(server.address) as (reader, writer):
        writer.write(request_bytes(server.address, "GET", FOLLOW))
        await reader.readuntil(b"retry: 3000\n\n\r\n")
        writer.write(handshake_bytes(server.address))
        assert await gone(reader) == b""
        await nothing_open(server)


@both_ways
async def test_one_that_leaves_behind_a_long_body(direct: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is noticed though uvicorn stops reading behind more than 64 KiB, and there is nothing to write."""
    async with serving({"s": GeneratorProvider(silent)}, direct=direct, **QUIET) as server:
        asked = streamed(server, ("Expect", "100-continue"), model="s/default", prompt="h" * 100_000)
        head, line_ends, body = asked.partition(b"\r\n\r\n")
        async with connected(server.address) as (reader, writer):
            writer.write(head + line_ends)
            # Now the body is waited for, and nobody will ask for more of it than its first piece, which is all.
            await reader.readuntil(b"100 Continue\r\n\r\n")
            _in_one_read(len(body), writer, monkeypatch)
            writer.write(body)
            await reader.readuntil(b'"type":"started"')
            assert server.application.service.open_streams == 1
        await nothing_open(server)


def _in_one_read(size: int, writer: asyncio.StreamWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the server read so many bytes of this client at once, in whatever pieces the kernel has them."""
    port, held, original = writer.get_extra_info("sockname")[1], bytearray(), DeadlineProtocol.data_received

    def joined(protocol: DeadlineProtocol, data: bytes) -> None:
        assert protocol.client is not None
        if protocol.client[1] != port:
            original(protocol, data)
            return
        held.extend(data)
        if len(held) == size:
            original(protocol, bytes(held))

    monkeypatch.setattr(DeadlineProtocol, "data_received", joined)


@both_ways
async def test_one_that_leaves_behind_another_request(direct: bool) -> None:
    """It is noticed though uvicorn stops reading behind a request that came with it and waits for its turn."""
    async with serving(direct=direct, **QUIET) as server:
        async with connected(server.address) as (reader, writer):
            writer.write(b"".join(request_bytes(server.address, "GET", target) for target in (FOLLOW, "/livez")))
            await reader.readuntil(b"retry: 3000\n\n\r\n")
            assert server.application.service.open_streams == 1
        await nothing_open(server)


@both_ways
async def test_a_request_behind_a_stream_is_not_waited_for(direct: bool) -> None:
    """It would wait for as long as the stream lasts, and hide that the peer leaves; so the connection ends."""
    async with serving(direct=direct, **QUIET) as server, connected(server.address) as (reader, writer):
        writer.write(request_bytes(server.address, "GET", FOLLOW))
        await reader.readuntil(b"retry: 3000\n\n\r\n")
        writer.write(request_bytes(server.address, "GET", "/livez"))
        with suppress(ConnectionResetError):
            assert b"200 OK" not in await reader.read()
        await nothing_open(server)


@pytest.mark.parametrize("wire", ["sse", "ndjson"])
@both_ways
async def test_one_that_does_not_read_the_end(direct: bool, wire: str) -> None:
    """The deadline is for the last write too, behind which nothing is left to be taken."""

    async def long_end(prompt: Prompt) -> AsyncIterator[Ended]:
        yield Ended("other", native_reason="x" * 200_000)

    # The kernel has no say: its own limit for a peer that does not read is far away.
    settings: dict[str, Any] = {
        "send_deadline_s": 0.1,
        "send_buffer_bytes": 4096,
        "user_timeout_s": 600,
        "heartbeat_s": 1,
    }
    async with serving({"l": GeneratorProvider(long_end)}, direct=direct, **settings) as server:
        generation = await start(server.address, model="l/default")
        await server.finished(generation)
        async with stalled(server.address) as (reader, writer):
            target = f"/v1/generations/{generation}/events?wire={wire}"
            writer.write(request_bytes(server.address, "GET", target))
            await reader.readuntil(b'"finished"')
            await nothing_open(server)
            assert len(server.application.service.pulse) == 0
            assert not (await gone(reader)).endswith(b"0\r\n\r\n")


class RaisesAfterwards:
    """A middleware that fails once a start was answered."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)
        if scope.get("path") == "/v1/generations":
            raise RuntimeError


@both_ways
async def test_a_middleware_that_raises_leaves_no_place_taken(direct: bool) -> None:
    """Though what was to go on behind it never began."""

    def prepare(application: Application) -> None:
        application.app.add_middleware(RaisesAfterwards)

    async with (
        serving(direct=direct, prepare=prepare, **QUIET) as server,
        connected(server.address) as (reader, writer),
    ):
        writer.write(streamed(server, model="demo/default", options={"tokens": 3}))
        assert b" 200 OK" in await gone(reader)
        await nothing_open(server)


async def test_a_middleware_that_ends_the_response_leaves_no_place_taken() -> None:
    """One that thinks the request over when its call returns does not go with the short way, and costs nothing more."""

    def prepare(application: Application) -> None:
        application.app.add_middleware(BaseHTTPMiddleware, dispatch=lambda asked, call_next: call_next(asked))

    async with serving(prepare=prepare, **QUIET) as server, connected(server.address) as (reader, writer):
        writer.write(request_bytes(server.address, "GET", FOLLOW))
        await reader.readuntil(b"0\r\n\r\n")
        await nothing_open(server)


@both_ways
async def test_what_is_closed_leaves_nothing_for_the_collector(direct: bool) -> None:
    """Full collections are rare, so what comes and goes with each connection must not refer to itself."""
    async with serving(direct=direct, **QUIET) as server:
        gc.collect()
        before = _alive([])
        gc.disable()
        try:
            for n in range(3):
                await _come_and_go(server, n)
            await nothing_open(server)
            async with asyncio.timeout(PATIENCE_S):
                while _alive(before):
                    for _ in range(100):
                        await asyncio.sleep(0)
        except TimeoutError:
            raise AssertionError([type(one).__name__ for one in _alive(before)]) from None
        finally:
            gc.enable()


def _alive(before: list[Any]) -> list[Any]:
    """Everything that a connection is made of and that was not there before."""
    known = {id(one) for one in before}
    return [one for one in gc.get_objects() if issubclass(type(one), KINDS) and id(one) not in known]


async def _come_and_go(server: RunningServer, n: int) -> None:
    """A socket that is closed, one that is broken off, and a stream that is."""
    for breaks in (False, True):
        socket = SocketConnection(server.address, "ws-json")
        await socket.connect()
        await socket.command("start", n, request={"model": "demo/default", "prompt": "Hi"}, observe=False)
        assert socket._socket is not None
        await (socket.close() if breaks else socket._socket.close())
    async with connected(server.address) as (reader, writer):
        writer.write(request_bytes(server.address, "GET", FOLLOW))
        await reader.readuntil(b"retry: 3000\n\n\r\n")
