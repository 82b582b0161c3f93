"""The short way to the socket: the same bytes as the long one, and never past a middleware that has a say in them."""

import asyncio
import gzip
import json
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from websockets.frames import Frame, Opcode

from realtime.server.app import Application
from realtime.server.short_way import HttpShortWay, binary_message, http_chunk, text_message
from realtime.server.socket_protocol import SocketProtocol
from tests.support.http import request, start
from tests.support.observer import Observer
from tests.support.raw import WIRES, WireName, connection
from tests.support.server import RunningServer, serving

SIZES = st.sampled_from([0, 1, 125, 126, 65_535, 65_536, 70_000])


@given(SIZES)
def test_a_message_is_framed_as_the_library_frames_it(size: int) -> None:
    """Whatever of the three lengths of a length it has."""
    data = b"x" * size
    text, binary = (Frame(opcode, data).serialize(mask=False) for opcode in (Opcode.TEXT, Opcode.BINARY))
    assert (text_message(data), binary_message(data)) == ((text, binary) if data else (b"", b""))


@given(SIZES)
def test_a_chunk_says_how_long_it_is(size: int) -> None:
    """And nothing is no chunk, because that would be the last one."""
    data = b"x" * size
    head, _, rest = http_chunk(data).partition(b"\r\n")
    assert (int(head, 16), rest) == (size, data + b"\r\n") if size else http_chunk(data) == b""


async def _pass_on(asked: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    return await call_next(asked)


def _compressing(application: Application) -> None:
    application.app.add_middleware(GZipMiddleware, minimum_size=1)


def _queueing(application: Application) -> None:
    application.app.add_middleware(BaseHTTPMiddleware, dispatch=_pass_on)


def _unpacked(body: bytes) -> bytes:
    return zlib.decompress(body, 16 + zlib.MAX_WBITS) if body.startswith(gzip.compress(b"")[:2]) else body


@pytest.mark.parametrize("prepare", [_compressing, _queueing], ids=["gzip", "queue"])
@pytest.mark.parametrize("wire", ["ndjson", "ws-json"])
async def test_it_is_taken_only_where_that_was_said(
    prepare: Callable[[Application], None], wire: WireName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the same events arrive as the application's own middlewares want them, compressed or queued."""
    put: list[bytes] = []
    _note(HttpShortWay, put, monkeypatch)
    _note(SocketProtocol, put, monkeypatch)
    async with serving(direct=True) as server:
        events = await _observed(server, wire)
        assert put
    put.clear()
    async with serving(direct=False, prepare=prepare) as server:
        assert await _observed(server, wire) == events
        assert not put


def _note(kind: type[HttpShortWay | SocketProtocol], put: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    original = kind.put

    def noted(self: Any, data: bytes) -> bool:
        put.append(data)
        return original(self, data)

    monkeypatch.setattr(kind, "put", noted)


async def _observed(server: RunningServer, wire: WireName) -> list[str]:
    """The types of the events of a generation, in order."""
    generation = await start(server.address, model="demo/default", options={"tokens": 40, "rate": 2000})
    if wire == "ws-json":
        observer = Observer(generation, "one")
        await observer.watch(server.address, wire)
        return [event["type"] for event in observer.events]
    path = f"/v1/generations/{generation}/events?wire=ndjson"
    answer = await request(server.address, "GET", path, headers={"Accept-Encoding": "gzip"})
    lines = [json.loads(line) for line in _unpacked(answer.body).splitlines()]
    return [line["type"] for line in lines if "id" in line]


@pytest.mark.parametrize("wire", WIRES)
async def test_a_place_is_taken_until_the_stream_is_over(wire: WireName) -> None:
    """Though the call that began it returned long before."""
    async with serving() as server:
        service = server.application.service
        generation = await start(server.address, model="demo/default", options={"tokens": 100_000, "rate": 500})
        watched = connection(server.address, wire)
        await watched.open(generation, None, {})
        await anext(aiter(watched.frames()))
        assert service.open_streams == 1
        await watched.close()
        async with asyncio.timeout(20):
            while service.open_streams:
                assert (await request(server.address, "GET", "/livez")).status == 200
        assert (await server.log(generation)).observers == 0
