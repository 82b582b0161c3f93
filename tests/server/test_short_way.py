"""The short way to the socket: the same bytes as the long one, and never past a middleware that has a say in them."""

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
from tests.support.http import request, start
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


def _plain(application: Application) -> None:
    """No middleware but our own."""


def _compressing(application: Application) -> None:
    application.app.add_middleware(GZipMiddleware, minimum_size=1)


def _queueing(application: Application) -> None:
    application.app.add_middleware(BaseHTTPMiddleware, dispatch=_pass_on)


def _unpacked(body: bytes) -> bytes:
    return zlib.decompress(body, 16 + zlib.MAX_WBITS) if body.startswith(gzip.compress(b"")[:2]) else body


@pytest.mark.parametrize(
    ("prepare", "short"), [(_plain, True), (_compressing, False), (_queueing, False)], ids=["plain", "gzip", "queue"]
)
async def test_it_is_taken_only_where_nothing_is_on_the_way(
    prepare: Callable[[Application], None], *, short: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same events arrive, compressed or queued as the application's own middleware wants them."""
    put: list[bytes] = []
    original = HttpShortWay.put

    def noted(self: HttpShortWay, data: bytes) -> bool:
        put.append(data)
        return original(self, data)

    monkeypatch.setattr(HttpShortWay, "put", noted)
    async with serving(prepare=prepare) as server:
        generation = await start(server.address, model="demo/default", options={"tokens": 40, "rate": 2000})
        lines = await _observed(server, generation)
    assert [line["type"] for line in lines if "id" in line][-1] == "finished"
    assert [int(line["id"].partition("-")[2]) for line in lines if "id" in line] == list(range(1, len(lines)))
    assert bool(put) is short


async def _observed(server: RunningServer, generation: str) -> list[dict[str, Any]]:
    path = f"/v1/generations/{generation}/events?wire=ndjson"
    answer = await request(server.address, "GET", path, headers={"Accept-Encoding": "gzip"})
    return [json.loads(line) for line in _unpacked(answer.body).splitlines()]
