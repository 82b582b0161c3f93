"""Whoever stops, wherever they are: the socket is closed at once, the place is free, and nothing is left."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import httpx2
import pytest
import trustme

from realtime.providers.http import Transport

from ...upstream import STALL, Reply
from .conftest import Wire, serving, trusting, turns, until


async def cancelled(task: asyncio.Task[httpx2.Response], transport: Transport) -> None:
    """Cancel it; a few turns of the loop later there is no connection."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await turns(4)
    assert (transport.open_connections, transport.waiting_requests) == (0, 0)


async def test_before_the_head(wire: Wire, client: httpx2.AsyncClient, ours: Transport) -> None:
    """Cancelled while the upstream thinks."""
    async with wire.upstream(Reply(before=[STALL])) as upstream:
        task = asyncio.create_task(client.get(upstream.url))
        exchange = await upstream.next_exchange()
        await exchange.stalled.wait()
        await cancelled(task, ours)
        await exchange.closed.wait()


async def test_at_any_turn(wire: Wire, client: httpx2.AsyncClient, ours: Transport) -> None:
    """Cancelled after any number of turns of the loop, a request leaves no connection that is not idle."""
    async with wire.upstream(Reply([b"x"])) as upstream:
        for number in range(60):
            task = asyncio.create_task(client.get(upstream.url, headers={"connection": "close"}))
            await turns(number)
            task.cancel()
            await asyncio.wait([task])
            await turns(4)
            assert ours.open_connections == 0
        await until(lambda: all(exchange.closed.is_set() for exchange in upstream.exchanges))


async def test_while_connecting(wire: Wire, ours: Transport) -> None:
    """Cancelled while the peer's kernel does not answer."""
    with full_listener() as listener:
        task = asyncio.create_task(ours.handle_async_request(request(f"http://127.0.0.1:{port(listener)}")))
        await until(lambda: ours.open_connections == 1)
        await turns(20)
        await cancelled(task, ours)


async def test_a_connection_that_is_not_accepted_times_out(wire: Wire, ours: Transport) -> None:
    """Nobody answers within the `connect` timeout."""
    with full_listener() as listener, pytest.raises(httpx2.ConnectTimeout):
        await ours.handle_async_request(request(f"http://127.0.0.1:{port(listener)}", connect=0.05))
    await turns(4)
    assert ours.open_connections == 0


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """A server that accepts and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{port(listener)}"


async def test_during_the_handshake(silent: str, ours: Transport) -> None:
    """Cancelled while TLS is being agreed upon."""
    task = asyncio.create_task(ours.handle_async_request(request(f"https://{silent}")))
    await until(lambda: any(connection.made for connection in ours._pool._open))
    await turns(20)
    await cancelled(task, ours)


async def test_a_handshake_that_stalls_times_out(silent: str, ours: Transport) -> None:
    """The handshake is within the `connect` timeout."""
    with pytest.raises(httpx2.ConnectTimeout):
        await ours.handle_async_request(request(f"https://{silent}", connect=0.05))
    await turns(4)
    assert ours.open_connections == 0


async def test_while_writing(silent: str, ours: Transport) -> None:
    """Cancelled, or timed out, while the peer does not read what is sent."""
    body = b"x" * (32 * 1024 * 1024)
    task = asyncio.create_task(ours.handle_async_request(request(f"http://{silent}", content=body)))
    await until(lambda: any(connection._writer is not None for connection in ours._pool._open))
    await cancelled(task, ours)
    with pytest.raises(httpx2.WriteTimeout):
        await ours.handle_async_request(request(f"http://{silent}", content=body, write=0.05))
    await turns(4)
    assert ours.open_connections == 0


async def test_the_transport_is_closed(wire: Wire, ours: Transport) -> None:
    """Every stream is told, waiters too, and when it returns there is no socket."""
    transport = Transport(max_connections=2, context=wire.client)
    async with wire.upstream(Reply([b"x", STALL])) as upstream:
        streams = [await transport.handle_async_request(request(upstream.url)) for _ in range(2)]
        waiter = asyncio.create_task(transport.handle_async_request(request(upstream.url)))
        readers = [asyncio.create_task(stream.aread()) for stream in streams]
        await until(lambda: transport.waiting_requests == 1)
        await turns(5)
        await transport.aclose()
        assert (transport.open_connections, transport.idle_connections, transport.waiting_requests) == (0, 0, 0)
        for task, error in (
            (readers[0], httpx2.ReadError),
            (readers[1], httpx2.ReadError),
            (waiter, httpx2.ConnectError),
        ):
            with pytest.raises(error):
                await task
        with pytest.raises(httpx2.ConnectError):
            await transport.handle_async_request(request(upstream.url))


async def test_closed_while_connecting(silent: str) -> None:
    """A transport that is closed during a handshake fails it and leaves no socket."""
    transport = Transport()
    task = asyncio.create_task(transport.handle_async_request(request(f"https://{silent}")))
    await until(lambda: any(connection.made for connection in transport._pool._open))
    await turns(20)
    await transport.aclose()
    with pytest.raises(httpx2.ConnectError):
        await task


async def test_a_stranger_is_not_trusted(authority: trustme.CA, ours: Transport) -> None:
    """A certificate of another name, and one of an unknown authority, are each a ConnectError."""
    stranger = trustme.CA()
    for context in (serving(authority, "other.invalid"), serving(stranger, "127.0.0.1")):
        wire = Wire(context, trusting(authority))
        async with wire.upstream() as upstream:
            with pytest.raises(httpx2.ConnectError, match=r"(?i)certificate"):
                await ours.handle_async_request(request(upstream.url))
            assert not upstream.exchanges
    await turns(4)
    assert ours.open_connections == 0


@pytest.mark.parametrize("says", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
async def test_a_server_that_speaks_no_tls(says: bytes, ours: Transport) -> None:
    """An answer that is no handshake, and an end in the middle of one, are each a ConnectError."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(says)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        with pytest.raises(httpx2.ConnectError):
            await ours.handle_async_request(request(f"https://127.0.0.1:{port(server.sockets[0])}"))


async def test_names_and_protocols_are_told(authority: trustme.CA, ours: Transport) -> None:
    """The server hears which name is meant, and that HTTP/1.1 is spoken."""
    heard: list[str | None] = []
    context = serving(authority, "localhost")
    context.sni_callback = lambda _, name, __: heard.append(name)
    context.set_alpn_protocols(["h2", "http/1.1"])
    wire = Wire(context, trusting(authority))
    async with wire.upstream(Reply([b"x", STALL])) as upstream:
        answer = await ours.handle_async_request(request(upstream.url.replace("127.0.0.1", "localhost")))
        (connection,) = ours._pool._open
        assert connection._transport is not None
        secured = connection._transport.get_extra_info("ssl_object")
        assert isinstance(secured, ssl.SSLObject)
        assert (heard, secured.selected_alpn_protocol()) == (["localhost"], "http/1.1")
        await answer.aclose()


@pytest.mark.parametrize("gone", ["refuses", "is silent"])
async def test_one_address_of_a_name_is_enough(gone: str, wire: Wire, ours: Transport) -> None:
    """A name whose first address refuses, or never answers, is reached by its second."""
    loop = asyncio.get_running_loop()

    async def two(host: str, port: int, **_: int) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{n}", port)) for n in (2, 1)]

    loop.getaddrinfo = two  # type: ignore[method-assign, assignment]
    async with Wire(None, wire.client).upstream(Reply([b"x"])) as upstream:
        url = httpx2.URL(upstream.url)
        assert url.port is not None
        with full_listener("127.0.0.2", url.port) if gone == "is silent" else nullcontext():
            answer = await ours.handle_async_request(request(f"http://two.test:{url.port}"))
            assert await answer.aread() == b"x"


def request(url: str, *, content: bytes = b"", **timeouts: float) -> httpx2.Request:
    method = "POST" if content else "GET"
    return httpx2.Request(method, url, content=content or None, extensions={"timeout": timeouts})


def port(listener: socket.socket) -> int:
    number: int = listener.getsockname()[1]
    return number


@contextmanager
def full_listener(host: str = "127.0.0.1", number: int = 0) -> Iterator[socket.socket]:
    """A listener whose queue is full: the kernel drops who asks to connect, without a word."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((host, number))
        listener.listen(0)
        for _ in range(2):
            queued = stack.enter_context(socket.socket())
            queued.setblocking(False)
            queued.connect_ex(listener.getsockname())
        yield listener
