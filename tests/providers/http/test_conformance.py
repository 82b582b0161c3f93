"""What httpx2's own transport makes of an answer, ours makes of it too."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime.providers.http import Transport

from ...upstream import FIN, RESET, STALL, Exchange, Reply, Upstream, cut
from ...upstream.server import Step
from .conftest import Wire

HEAD = b"HTTP/1.1 200 OK\r\nX-One: 1\r\nx-one:\t2 \r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"3\r\nabc\r\n2;e=f\r\nde\r\n0\r\nT: v\r\n\r\n"


class Seen(NamedTuple):
    """What a client saw of one request."""

    status: int | None
    version: str | None
    reason: str | None
    headers: list[tuple[bytes, bytes]]
    body: bytes
    error: type[Exception] | None


async def see(client: httpx2.AsyncClient, method: str, url: str) -> Seen:
    head: tuple[int | None, str | None, str | None, list[tuple[bytes, bytes]]] = (None, None, None, [])
    body, error = b"", None
    try:
        async with client.stream(method, url) as response:
            head = (response.status_code, response.http_version, response.reason_phrase, response.headers.raw)
            async for piece in response.aiter_raw():
                body += piece
    except httpx2.HTTPError as fault:
        # Ours are more precise, and those of httpx2 all the same.
        error = next(kind for kind in type(fault).__mro__ if kind.__module__.startswith("httpx2"))
    return Seen(*head, body, error)


CASES: dict[str, Sequence[Step]] = {
    "length": [HEAD + b"Content-Length: 3\r\n\r\nabc", STALL],
    "length, in pieces": [HEAD, b"Content-Length: 3\r\n", b"\r\na", b"b", b"c", STALL],
    "length 0": [HEAD + b"Content-Length: 0\r\n\r\n", STALL],
    "chunks": [CHUNKED + CHUNKS, STALL],
    "chunks, byte by byte": [*(bytes([byte]) for byte in CHUNKED + CHUNKS), STALL],
    "until the end": [HEAD + b"\r\nabc", FIN],
    "until the end, in pieces": [HEAD, b"\r\n", b"ab", b"c", FIN],
    "HTTP/1.0": [b"HTTP/1.0 200 OK\r\n\r\nabc", FIN],
    "HTTP/1.0, length": [b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", STALL],
    "interim": [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + CHUNKED, CHUNKS, STALL],
    "204": [b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n", STALL],
    "304": [b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", STALL],
    "429": [b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 3\r\n\r\nabc", STALL],
    "no phrase": [b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", STALL],
    "bytes above ASCII": [b"HTTP/1.1 200 OK\r\nX: \xe9\r\nContent-Length: 0\r\n\r\n", STALL],
    "close": [HEAD + b"Connection: close\r\nContent-Length: 3\r\n\r\nabc", STALL],
    "surplus": [HEAD + b"Content-Length: 3\r\n\r\nabcde", STALL],
    "nothing": [FIN],
    "half a head": [HEAD, FIN],
    "half a length": [HEAD + b"Content-Length: 9\r\n\r\nabc", FIN],
    "half the chunks": [CHUNKED + b"3\r\nabc\r\n", FIN],
    "half a chunk": [CHUNKED + b"9\r\nabc", FIN],
    "bad chunk": [CHUNKED + b"3\r\nabc\r\nzz\r\n", STALL],
    "no HTTP": [b"SSH-2.0-OpenSSH\r\n\r\n", STALL],
    "space before the colon": [b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", STALL],
    "bad length": [b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", STALL],
    "other coding": [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx", STALL],
    "reset before the head": [RESET],
    "reset in the head": [HEAD, RESET],
}


@pytest.mark.parametrize("case", sorted(CASES))
async def test_answers(case: str, wire: Wire, ours: Transport) -> None:
    """Status, phrase, headers, body and the class of the error are the same, and so is what is left open."""
    reply = Reply(CASES[case], framing="none")
    async with (
        wire.upstream(reply) as upstream,
        httpx2.AsyncClient(transport=ours) as client,
        httpx2.AsyncClient(transport=wire.stock()) as oracle,
    ):
        assert await see(client, "GET", upstream.url) == await see(oracle, "GET", upstream.url)


@pytest.mark.parametrize("framing", [b"Content-Length: 5", b"Transfer-Encoding: chunked", b"X: y"])
async def test_head(framing: bytes, wire: Wire, ours: Transport) -> None:
    """The answer to HEAD has no body, whatever its headers say."""
    reply = Reply([HEAD + framing + b"\r\n\r\n", STALL], framing="none")
    async with (
        wire.upstream(reply) as upstream,
        httpx2.AsyncClient(transport=ours) as client,
        httpx2.AsyncClient(transport=wire.stock()) as oracle,
    ):
        seen = await see(client, "HEAD", upstream.url)
        assert seen == await see(oracle, "HEAD", upstream.url)
        assert seen.status == 200


BROKEN: dict[str, tuple[Sequence[Step], type[Exception]]] = {
    "reset in the body": ([CHUNKED + b"3\r\nabc\r\n", RESET], httpx2.ReadError),
    "reset before the end": ([HEAD + b"\r\nabc", RESET], httpx2.ReadError),
    "silence before the head": ([STALL], httpx2.ReadTimeout),
    "silence in the head": ([HEAD, STALL], httpx2.ReadTimeout),
    "silence in the body": ([CHUNKED + b"3\r\nabc\r\n", STALL], httpx2.ReadTimeout),
}


@pytest.mark.parametrize("case", sorted(BROKEN))
async def test_what_breaks(case: str, wire: Wire, ours: Transport) -> None:
    """A connection that breaks or says nothing for too long raises the same class; what came before may be lost."""
    steps, expected = BROKEN[case]
    timeout = httpx2.Timeout(None, read=0.1)
    async with (
        wire.upstream(Reply(steps, framing="none")) as upstream,
        httpx2.AsyncClient(transport=ours, timeout=timeout) as client,
        httpx2.AsyncClient(transport=wire.stock(), timeout=timeout) as oracle,
    ):
        for one in (client, oracle):
            assert (await see(one, "GET", upstream.url)).error is expected
        assert ours.open_connections == ours.idle_connections == 0


REFUSED_BY_US = {
    "folded header": b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "length and chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
}


@pytest.mark.parametrize("case", sorted(REFUSED_BY_US))
async def test_ambiguous_answers(case: str, wire: Wire, ours: Transport) -> None:
    """Where h11 picks one of two readings, we refuse: the one on the way may have picked the other."""
    async with (
        wire.upstream(Reply([REFUSED_BY_US[case], STALL], framing="none")) as upstream,
        httpx2.AsyncClient(transport=ours) as client,
        httpx2.AsyncClient(transport=wire.stock()) as oracle,
    ):
        assert (await see(client, "GET", upstream.url)).error is httpx2.RemoteProtocolError
        assert (await see(oracle, "GET", upstream.url)).error is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20)
@given(data=st.data())
async def test_any_segments(data: st.DataObject, wire: Wire, ours: Transport) -> None:
    """However an answer is cut into segments, a client sees the same, and the connection serves the next one."""
    whole = CHUNKED + CHUNKS
    places = data.draw(st.lists(st.integers(1, len(whole) - 1), unique=True))
    reply = Reply([*cut(whole, *places), STALL], framing="none")
    async with wire.upstream(reply) as upstream:
        client = httpx2.AsyncClient(transport=ours)
        for _ in range(2):
            seen = await see(client, "GET", upstream.url)
            assert (seen.status, seen.body, seen.error) == (200, b"abcde", None)
        assert upstream.connections == 1
    # The client is not closed: that would close the transport, which serves all examples.


async def test_gone_between_requests(wire: Wire, ours: Transport) -> None:
    """A connection that ends while idle is forgotten at once, and the next request has a new one."""
    async with wire.upstream(Reply([b"x"])) as upstream, httpx2.AsyncClient(transport=ours) as client:
        assert (await client.get(upstream.url)).content == b"x"
        assert (ours.open_connections, ours.idle_connections) == (1, 1)
        first = upstream.exchanges[0]
        await upstream.drop()
        await first.closed.wait()
        assert (await client.get(upstream.url)).content == b"x"
        assert upstream.connections == 2


async def test_refused_connection(wire: Wire, ours: Transport) -> None:
    """Nobody listens: a ConnectError, as the stock transport says it."""
    async with wire.upstream() as upstream:
        url = upstream.url
    async with httpx2.AsyncClient(transport=ours) as client, httpx2.AsyncClient(transport=wire.stock()) as oracle:
        for one in (client, oracle):
            assert (await see(one, "GET", url)).error is httpx2.ConnectError
    assert ours.open_connections == 0


async def test_unknown_name(ours: Transport) -> None:
    """A name that resolves to nothing is a ConnectError."""
    async with httpx2.AsyncClient(transport=ours) as client:
        assert (await see(client, "GET", "http://name.invalid/")).error is httpx2.ConnectError


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "ws://127.0.0.1/"])
async def test_other_schemes(url: str, ours: Transport) -> None:
    """HTTP is all it speaks."""
    async with httpx2.AsyncClient(transport=ours) as client:
        assert (await see(client, "GET", url)).error is httpx2.UnsupportedProtocol


async def test_many_at_once(wire: Wire, client: httpx2.AsyncClient, ours: Transport) -> None:
    """Answers do not mix: each of a hundred requests gets its own."""

    def echo(exchange: Exchange) -> Reply:
        return Reply([exchange.path.encode()] * 3)

    async with Upstream(echo, tls=wire.server) as upstream:
        bodies = await asyncio.gather(*(client.get(f"{upstream.url}/{n}") for n in range(100)))
        assert [body.content for body in bodies] == [f"/{n}".encode() * 3 for n in range(100)]
        assert ours.open_connections == ours.idle_connections <= 100
