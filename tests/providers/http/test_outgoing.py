"""What is sent: what h11, which the stock transport writes with, reads back as the same request, and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, NamedTuple

import h11
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.providers.http import Transport
from realtime.providers.http.outgoing import Outgoing

from .conftest import Wire, turns, until


class Received(NamedTuple):
    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Recorder:
    """A server that reads requests with h11 and answers each with an `x`.

    Attributes:
        requests: In the order of their ends.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.requests: list[Received] = []

    async def __aenter__(self) -> "Recorder":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._wire.server)
        scheme = "https" if self._wire.server else "http"
        self.url = f"{scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self._ends: list[asyncio.Future[None]] = []
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await asyncio.gather(*self._ends)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended = asyncio.get_running_loop().create_future()
        self._ends.append(ended)
        try:
            with suppress(ConnectionError):
                await self._read(reader, writer)
        finally:
            writer.close()
            ended.set_result(None)

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = h11.Connection(h11.SERVER)
        head, body = None, b""
        while True:
            event = peer.next_event()
            if event is h11.NEED_DATA:
                data = await reader.read(65_536)
                peer.receive_data(data)
                if not data:
                    return
            elif isinstance(event, h11.Request):
                head, body = event, b""
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                headers = [(bytes(name), bytes(value)) for name, value in head.headers.raw_items()]
                self.requests.append(Received(head.method, head.target, headers, body))
                answer = h11.Response(status_code=200, headers=[("Content-Length", "1")])
                for said in (answer, h11.Data(data=b"x"), h11.EndOfMessage()):
                    writer.write(peer.send(said) or b"")
                peer.start_next_cycle()


async def pieces(*said: bytes) -> AsyncIterator[bytes]:
    for piece in said:
        await asyncio.sleep(0)
        yield piece


def requests(url: str) -> list[httpx2.Request]:
    """Requests of every shape."""
    length = {"Content-Length": "6"}
    return [
        httpx2.Request("GET", url),
        httpx2.Request("GET", f"{url}/a%20b/?q=ä&r=%0d%0a"),
        httpx2.Request("POST", url, content=b""),
        httpx2.Request("POST", url, content=b"x" * 300_000),
        httpx2.Request("PUT", url, json={"a": "ä"}, headers={"X-Two": "1", "x-two": "2", "X-Empty": ""}),
        httpx2.Request("POST", url, content=pieces(b"abc", b"", b"def")),
        httpx2.Request("POST", url, content=pieces()),
        httpx2.Request("POST", url, content=pieces(b"abc", b"def"), headers=length),
        httpx2.Request("DELETE", url, headers=[(b"X", b"\xe9")]),
    ]


async def test_what_the_stock_transport_sends_we_send(wire: Wire, ours: Transport) -> None:
    """Line, headers in their order and case, and body are the same; each on the connection of the last."""
    async with Recorder(wire) as recorder:
        stock = wire.stock()
        for transport in (ours, stock):
            for request in requests(recorder.url):
                answer = await transport.handle_async_request(request)
                assert await answer.aread() == b"x"
                await answer.aclose()
        assert ours.open_connections == 1
        await ours.aclose()
        await stock.aclose()
    half = len(recorder.requests) // 2
    assert half == len(requests(recorder.url))
    assert recorder.requests[:half] == recorder.requests[half:]


ILLEGAL: dict[str, tuple[str, Any]] = {
    "line feed in a value": ("GET", [("X", b"a\nX-Evil: 1")]),
    "return in a value": ("GET", [("X", b"a\rb")]),
    "NUL in a value": ("GET", [("X", b"a\0b")]),
    "space around a value": ("GET", [("X", b" a")]),
    "space in a name": ("GET", [("X Y", b"a")]),
    "colon in a name": ("GET", [("X:Y", b"a")]),
    "no name": ("GET", [("", b"a")]),
    "two lengths": ("POST", [("Content-Length", b"0"), ("content-length", b"0")]),
    "two hosts": ("GET", [("Host", b"a"), ("host", b"b")]),
    "length and chunks": ("POST", [("Content-Length", b"0"), ("Transfer-Encoding", b"chunked")]),
    "other coding": ("POST", [("Transfer-Encoding", b"gzip")]),
    "no number": ("POST", [("Content-Length", b"-1")]),
    "space in the method": ("GET /evil", []),
    "line feed in the method": ("GET\n", []),
    "a tunnel": ("CONNECT", []),
}


@pytest.mark.parametrize("case", sorted(ILLEGAL))
async def test_illegal_requests(case: str, ours: Transport) -> None:
    """What would be another request, or none, is not sent; not even a connection is made."""
    method, headers = ILLEGAL[case]
    request = httpx2.Request("GET", "http://127.0.0.1:9", headers=headers)
    request.method = method
    with pytest.raises(httpx2.LocalProtocolError):
        await ours.handle_async_request(request)
    assert ours.open_connections == 0


@pytest.mark.parametrize("said", [[b"abc"], [b"abc", b"defg"]])
async def test_bodies_of_another_length(said: list[bytes], wire: Wire, ours: Transport) -> None:
    """A body that is not as long as its header says is an error, and its connection is not used again."""
    async with Recorder(wire) as recorder:
        request = httpx2.Request("POST", recorder.url, content=pieces(*said), headers={"Content-Length": "6"})
        with pytest.raises(httpx2.LocalProtocolError):
            await ours.handle_async_request(request)
        await ours.aclose()
    assert not recorder.requests


async def test_a_body_that_fails(wire: Wire, ours: Transport) -> None:
    """What the caller's stream raises comes out of the request, and the connection is closed."""

    async def failing() -> AsyncIterator[bytes]:
        yield b"abc"
        raise LookupError

    async with Recorder(wire) as recorder:
        with pytest.raises(LookupError):
            await ours.handle_async_request(httpx2.Request("POST", recorder.url, content=failing()))
        await ours.aclose()
    assert not recorder.requests


async def test_a_refusal_ends_the_sending(wire: Wire, ours: Transport) -> None:
    """A server that answers 413 and reads no more is heard, though it never takes the body."""
    stuck, heard, gone = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await stuck.wait()
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nx")
        await heard.wait()
        writer.write(b"yz")
        await gone.wait()
        writer.transport.abort()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=wire.server, limit=1024) as server:
        scheme = "https" if wire.server else "http"
        url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        request = httpx2.Request("POST", url, content=pieces(*[b"x" * 1_000_000] * 100))
        asked = asyncio.create_task(ours.handle_async_request(request))
        await until(lambda: any(connection._writer is not None for connection in ours._pool._open))
        (connection,) = ours._pool._open
        waits = None
        while waits is None or waits is not connection._writer:
            waits = connection._writer
            await turns(500)
        stuck.set()
        answer = await asked
        heard.set()
        assert (answer.status_code, await answer.aread()) == (413, b"xyz")
        assert ours.idle_connections == 0
        gone.set()


@given(st.lists(st.tuples(st.text(max_size=8), st.binary(max_size=12)), max_size=4), st.text(max_size=6))
def test_no_injection(headers: Any, method: str) -> None:
    """Whatever a caller puts into method and headers, h11 reads one request with those headers, or nothing is sent."""
    try:
        request = httpx2.Request("GET", "http://example.org/", headers=headers)
        request.method = method or "GET"
        outgoing = Outgoing(request)
    except (httpx2.LocalProtocolError, ValueError):
        return
    peer = h11.Connection(h11.SERVER)
    peer.receive_data(outgoing.head)
    read = peer.next_event()
    assert isinstance(read, h11.Request)
    assert [(bytes(name), bytes(value)) for name, value in read.headers.raw_items()] == request.headers.raw
    assert peer.trailing_data[0] == b""
