"""Sockets whose peer stalls and comes back, or says goodbye in the middle of it: nothing is lost, late or too late."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import pytest

from realtime.prompt import Prompt
from realtime.providers.generator import GeneratorProvider
from realtime.server.short_way import text_message
from realtime.server.socket_protocol import SocketProtocol
from tests.support.http import request
from tests.support.raw import SocketConnection
from tests.support.server import RunningServer, serving
from transports.websocket import Socket

from .refusals import CLOSE, close_code, frame, read_frame, shaken

PATIENCE_S = 20
OBSERVATIONS = 6

both_ways = pytest.mark.parametrize("direct", [True, False])


async def begin(client: SocketConnection, ref: int) -> tuple[str, str]:
    """Start a generation of the model under test, unobserved; its id, and the epoch of its log."""
    asked = {"model": "m/default", "prompt": "Hi"}
    reply = await client.command("start", ref, request=asked, observe=False)
    return reply["generation"], reply["cursor"].partition("-")[0]


@both_ways
async def test_all_observations_outlive_a_stall(direct: bool) -> None:
    """When the peer reads again all of them wait to write, there is room for one, and the others wait on."""
    go = asyncio.Event()

    async def much(prompt: Prompt) -> AsyncIterator[str]:
        await go.wait()
        for _ in range(200):
            yield "x" * 2000

    async with serving({"m": GeneratorProvider(much)}, direct=direct) as server:
        client = SocketConnection(server.address, "ws-json", receive_buffer=4096)
        await client.connect()
        begun = [await begin(client, ref) for ref in range(OBSERVATIONS)]
        for generation, _ in begun:
            await client.send("observe", generation, generation=generation)
        got: dict[str, list[int]] = defaultdict(list)
        await _until(client, "position", got)
        client.transport.pause_reading()
        go.set()
        heads = {epoch: (await server.finished(generation)).head for generation, epoch in begun}
        client.transport.resume_reading()
        await _until(client, "finished", got)
        assert got == {epoch: list(range(1, head + 1)) for epoch, head in heads.items()}
        await client.close()


async def _until(client: SocketConnection, kind: str, got: dict[str, list[int]]) -> None:
    """Read until there was one of that type for each observation, and keep the numbers of the events by epoch."""
    seen = 0
    async with asyncio.timeout(PATIENCE_S):
        while seen < OBSERVATIONS:
            for came in await client.receive():
                seen += came.value["type"] == kind
                if came.is_event:
                    epoch, _, seq = came.value["id"].partition("-")
                    got[epoch].append(int(seq))


@both_ways
async def test_a_stalled_peer_is_told_ok_before_the_end_it_asked_for(direct: bool) -> None:
    """Though the observation waited for it longer than the reply did, and has room for the end in its next slice."""
    feed: asyncio.Queue[str] = asyncio.Queue()

    async def fed(prompt: Prompt) -> AsyncIterator[str]:
        while True:
            yield await feed.get()

    async with serving({"m": GeneratorProvider(fed)}, direct=direct, send_buffer_bytes=16384) as server:
        client = SocketConnection(server.address, "ws-json", receive_buffer=4096)
        await client.connect()
        generation, _ = await begin(client, 1)
        await client.command("observe", 2, generation=generation)
        await server.reached(generation, 2)
        client.transport.pause_reading()
        await _fill(server, generation, feed)
        await client.send("stop", 3, generation=generation)
        await server.finished(generation)
        client.transport.resume_reading()
        told: list[str] = []
        async with asyncio.timeout(PATIENCE_S):
            while len(told) < 2:
                kinds = [came.value["type"] for came in await client.receive()]
                told += [kind for kind in kinds if kind in {"ok", "error", "finished"}]
        assert told == ["ok", "finished"]
        await client.close()


async def _fill(server: RunningServer, generation: str, feed: asyncio.Queue[str]) -> None:
    """Feed a generation, event by event, until its observer waits for its peer, with next to nothing left to take."""
    (slot,) = server.application.service._open
    socket = slot._connection
    assert isinstance(socket, Socket)
    log = await server.log(generation)
    async with asyncio.timeout(PATIENCE_S):
        while socket.sending_since_s is None:
            feed.put_nowait("x" * 1000)
            await server.reached(generation, log.head + 1)
            # Time for it to be written, and for the kernel to take it.
            await request(server.address, "GET", "/livez")


async def test_nothing_is_put_behind_the_closing_handshake(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to the client's close frame is the last thing written, though the socket has yet to hear of it."""
    put: list[bool] = []
    original = SocketProtocol.handle_close

    def closing(protocol: SocketProtocol, event: Any) -> None:
        original(protocol, event)
        put.append(protocol.put(text_message(b"late")))

    monkeypatch.setattr(SocketProtocol, "handle_close", closing)
    async with serving() as server, shaken(server.address) as (reader, writer):
        writer.write(frame(CLOSE, b"\x03\xe8"))
        opcode, payload = await read_frame(reader)
        assert (opcode, close_code(payload)) == (CLOSE, 1000)
        assert await reader.read() == b""
    assert put == [False]
