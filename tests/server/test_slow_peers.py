"""Peers that hold a connection for nothing: those that do not finish asking, and those that do not read."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import psutil
import pytest

from realtime.server import connections
from tests.support.http import read_text, request, start
from tests.support.observer import Observer
from tests.support.server import Address, serving

from .refusals import (
    TEXT,
    ask,
    assert_problem,
    close_code,
    connected,
    frame,
    handshake_bytes,
    read_answer,
    read_frame,
    request_bytes,
    shaken,
)
from .running import running

pytestmark = pytest.mark.usefixtures("quiet")

READERS = 200
# Many times what all buffers between the two processes hold.
LONG: dict[str, Any] = {"model": "demo/default", "options": {"tokens": 40_000, "rate": 100_000}}


async def gone(reader: asyncio.StreamReader) -> bytes:
    """Read what comes until the server has ended the connection, in whatever way."""
    data = b""
    try:
        while chunk := await reader.read(65536):
            data += chunk
    except ConnectionResetError:
        pass
    return data


UNFINISHED: dict[str, Callable[[Address], bytes]] = {
    "nothing": lambda _: b"",
    "line-end": lambda _: b"\r\n",
    "half-a-line": lambda _: b"GET /live",
    "half-the-headers": lambda address: request_bytes(address, "GET", "/livez")[:-2],
    "half-a-handshake": lambda address: handshake_bytes(address)[:-2],
}


@pytest.mark.parametrize("case", UNFINISHED)
async def test_unfinished_head(case: str) -> None:
    """Who does not finish asking is let go at the header deadline."""
    async with serving(header_deadline_s=0.2) as server, connected(server.address) as (reader, writer):
        writer.write(UNFINISHED[case](server.address))
        assert await gone(reader) == b""


@pytest.mark.parametrize("case", [case for case in UNFINISHED if case != "nothing"])
async def test_unfinished_second_head(case: str) -> None:
    """A connection that was good once gets no more patience, not even for a line end that begins no request."""
    async with serving(header_deadline_s=0.2) as server, connected(server.address) as (reader, writer):
        writer.write(request_bytes(server.address, "GET", "/livez"))
        assert (await read_answer(reader)).status == 200
        writer.write(UNFINISHED[case](server.address))
        assert await gone(reader) == b""


async def test_head_in_drips() -> None:
    """The deadline is for the whole head: one byte now and then does not extend it."""
    async with serving(header_deadline_s=0.3) as server, connected(server.address) as (reader, writer):
        over = asyncio.create_task(gone(reader))
        for byte in request_bytes(server.address, "GET", "/livez", {"X-Long": "x" * 10_000}):
            writer.write(bytes([byte]))
            if (await asyncio.wait({over}, timeout=0.02))[0]:
                break
        assert await over == b""


async def test_deadline_is_for_heads_only() -> None:
    """A stream and a socket that live longer than the header deadline are left alone."""
    async with serving(header_deadline_s=0.2) as server, shaken(server.address) as (reader, writer):
        generation = await start(server.address, model="demo/default", options={"tokens": 60, "rate": 100})
        observer = Observer(generation)
        assert (await observer.watch(server.address, "sse")).why == "ended"
        assert observer.events[-1]["timings"]["duration_ms"] > 400
        writer.write(frame(TEXT, b'{"type":"ping"}'))
        assert (await read_frame(reader))[0] == TEXT


async def test_unfinished_body() -> None:
    """A body that does not come in time is a 408."""
    headers = {"Content-Type": "application/json", "Content-Length": "100"}
    async with serving(body_deadline_s=0.2) as server:
        answer = await ask(server.address, request_bytes(server.address, "POST", "/v1/generations", headers) + b"{")
        assert_problem(answer, "timeout_body", names="0.2 s")


@pytest.mark.parametrize("coding", ["Content-Length", "Transfer-Encoding"])
async def test_body_in_drips(coding: str) -> None:
    """The deadline is for the whole body: one byte now and then does not extend it."""
    headers = {"Content-Type": "application/json", coding: "1000" if coding == "Content-Length" else "chunked"}
    async with serving(body_deadline_s=0.3) as server, connected(server.address) as (reader, writer):
        writer.write(request_bytes(server.address, "POST", "/v1/generations", headers))
        answer = asyncio.create_task(read_answer(reader))
        while not (await asyncio.wait({answer}, timeout=0.02))[0]:
            writer.write(b" " if coding == "Content-Length" else b"1\r\n \r\n")
        assert_problem(await answer, "timeout_body")


@pytest.mark.parametrize("target", ["/v1/generations", "/v1/generations/x/stop", "/nope"])
async def test_connection_of_an_unfinished_body(monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    """After its answer, a connection whose body still does not come is let go, whether or not anyone read it."""
    monkeypatch.setattr(connections, "_BODY_SLACK_S", 0.2)
    headers = {"Content-Type": "application/json", "Content-Length": "100"}
    async with serving(body_deadline_s=0.2) as server, connected(server.address) as (reader, writer):
        writer.write(request_bytes(server.address, "POST", target, headers) + b"{")
        assert (await read_answer(reader)).status in {404, 408}
        assert await gone(reader) == b""


async def test_slow_but_steady() -> None:
    """Who reads slowly, but reads, is never too slow: it gets everything."""
    async with serving(send_deadline_s=0.5, send_buffer_bytes=4096) as server:
        generation = await start(server.address, model="demo/default", options={"tokens": 3000, "rate": 100_000})
        await server.finished(generation)
        whole = await read_text(server.address, generation, wire="ndjson")
        data = b""
        async with stalled(server.address) as (reader, writer):
            target = f"/v1/generations/{generation}/events?wire=ndjson"
            writer.write(request_bytes(server.address, "GET", target, {"Connection": "close"}))
            await reader.readuntil(b"\r\n\r\n")
            while chunk := await reader.read(2048):
                data += chunk
                # Between two reads there is time for others, and for the deadline of a write that waits.
                await asyncio.sleep(0.005)
        assert data.endswith(b"0\r\n\r\n")
        assert b'"finished"' in data
        assert len(data) > len(whole.body)


@asynccontextmanager
async def stalled(address: Address) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection that holds next to nothing for a reader that does not read."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, tuple(address))
    reader, writer = await asyncio.open_connection(sock=sock, limit=2048)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


async def test_stalled_socket_is_told() -> None:
    """A socket whose peer does not read is closed with 4508, which the peer finds when it reads again."""
    async with serving(send_deadline_s=0.1, heartbeat_s=1) as server, stalled(server.address) as (reader, writer):
        generation = await start(server.address, **LONG)
        await server.finished(generation)
        writer.write(handshake_bytes(server.address))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frame(TEXT, json.dumps({"type": "observe", "generation": generation}).encode()))
        async with asyncio.timeout(20):
            while server.application.service.open_streams:
                await request(server.address, "GET", "/livez")
        frames = [await read_frame(reader)]
        while frames[-1][0] == TEXT:
            frames.append(await read_frame(reader))
        assert close_code(frames[-1][1]) == 4508


async def metric(address: Address, name: str) -> float:
    """The sum of a metric over its labels."""
    body = (await request(address, "GET", "/metrics")).body.decode()
    lines = [line for line in body.splitlines() if line.startswith((f"{name}{{", f"{name} "))]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


async def test_stalled_readers() -> None:
    """Readers that stop reading cost little, are let go together with their sockets, and disturb nobody."""
    flags = ["--send-deadline-s", "1", "--user-timeout-s", "1", "--send-buffer-bytes", "8192"]
    async with running(*flags) as (process, address), AsyncExitStack() as stack:
        inspected = psutil.Process(process.pid)
        generation = await start(address, **LONG)
        whole = await read_text(address, generation)
        before = inspected.memory_info().rss
        most = before
        for n in range(READERS):
            reader, writer = await stack.enter_async_context(stalled(address))
            if n % 4 == 0:
                command = json.dumps({"type": "observe", "generation": generation}).encode()
                writer.write(handshake_bytes(address))
                await reader.readuntil(b"\r\n\r\n")
                writer.write(frame(TEXT, command))
            else:
                wire = ("sse", "ndjson", "text")[n % 3]
                writer.write(request_bytes(address, "GET", f"/v1/generations/{generation}/events?wire={wire}"))
        async with asyncio.timeout(40):
            while await metric(address, "realtime_observations_ended_total") < READERS + 1:
                most = max(most, inspected.memory_info().rss)
            while sockets(inspected, address) > 2:
                assert (await request(address, "GET", "/livez")).status == 200
        assert (await read_text(address, generation)).body == whole.body
        assert await metric(address, "realtime_observers") == 0
        # A reader costs what is being written to it, some 16 KiB, a few times over; not the half megabyte of its log.
        assert most - before < READERS * 300 * 1024, (before, most)
        assert process.log.count("observer too slow") <= READERS
        assert len(process.lines) <= READERS + 20, process.log
        assert "Traceback" not in process.log


def sockets(inspected: psutil.Process, address: Address) -> int:
    """The connections it still holds."""
    return sum(held.laddr.port == address.port and bool(held.raddr) for held in inspected.net_connections("tcp"))
