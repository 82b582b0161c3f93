"""Connections: reused while they live, bounded, lent in order, and never lost count of."""

import asyncio
import socket

import httpx2
import pytest

from realtime.providers.http import Transport, body_of
from realtime.providers.http.connection import Connection

from ...upstream import FIN, RESET, STALL, Exchange, Reply, Upstream, Wait
from ...upstream.server import Break
from .conftest import Wire, turns, until


def limited(wire: Wire, size: int, keepalive_s: float = 4.0) -> httpx2.AsyncClient:
    transport = Transport(max_connections=size, keepalive_s=keepalive_s, context=wire.client)
    return httpx2.AsyncClient(transport=transport, timeout=None)


def transport_of(client: httpx2.AsyncClient) -> Transport:
    transport = client._transport
    assert isinstance(transport, Transport)
    return transport


async def test_a_connection_is_used_again(wire: Wire, client: httpx2.AsyncClient, ours: Transport) -> None:
    """Twenty requests one after another need one connection."""
    async with wire.upstream(Reply([b"x"])) as upstream:
        for _ in range(20):
            assert (await client.get(upstream.url)).content == b"x"
        assert upstream.connections == ours.open_connections == ours.idle_connections == 1


@pytest.mark.parametrize("headers", [{"connection": "close"}, {}])
async def test_a_connection_that_was_said_to_close_is_closed(headers: dict[str, str], wire: Wire) -> None:
    """`Connection: close`, from whichever side, ends it with its answer."""
    theirs = {} if headers else {"connection": "close"}
    async with wire.upstream(Reply([b"x"], headers=theirs)) as upstream, limited(wire, 1) as client:
        for _ in range(2):
            assert (await client.get(upstream.url, headers=headers)).content == b"x"
        assert upstream.connections == 2


async def test_an_idle_connection_expires(wire: Wire) -> None:
    """It is closed by us before the peer would, and nobody has to ask for that."""
    async with wire.upstream(Reply([b"x"])) as upstream, limited(wire, 1, keepalive_s=0.05) as client:
        assert (await client.get(upstream.url)).content == b"x"
        await upstream.exchanges[0].closed.wait()
        await until(lambda: transport_of(client).open_connections == 0)
        assert (await client.get(upstream.url)).content == b"x"
        assert upstream.connections == 2


async def test_each_idle_connection_expires_in_its_time(wire: Wire) -> None:
    """One that became idle while another was, already, is closed as well."""
    late = asyncio.Event()

    def reply(exchange: Exchange) -> Reply:
        return Reply([Wait(late), b"x"] if exchange.path == "/late" else [b"x"])

    async with wire.upstream(reply) as upstream, limited(wire, 2, keepalive_s=0.2) as client:
        second = asyncio.create_task(client.get(f"{upstream.url}/late"))
        await upstream.next_exchange()
        assert (await client.get(upstream.url)).content == b"x"
        await asyncio.sleep(0.1)
        late.set()
        await second
        await asyncio.gather(*(exchange.closed.wait() for exchange in upstream.exchanges))
        await until(lambda: transport_of(client).open_connections == 0)


async def test_the_bound_holds_and_waiters_are_served_in_order(wire: Wire) -> None:
    """No more connections than allowed; who came first is first, and who gives up is skipped."""
    release = asyncio.Event()
    order: list[str] = []

    def reply(exchange: Exchange) -> Reply:
        order.append(exchange.path)
        return Reply([Wait(release), b"x"])

    async with wire.upstream(reply) as upstream, limited(wire, 2) as client:
        transport = transport_of(client)
        tasks = []
        for n in range(10):
            tasks.append(asyncio.create_task(client.get(f"{upstream.url}/{n}")))
            await turns(5)
        assert (transport.open_connections, transport.waiting_requests) == (2, 8)
        for n in (3, 7):
            tasks[n].cancel()
        await until(lambda: transport.waiting_requests == 6)
        release.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(answer) for answer in answers].count(asyncio.CancelledError) == 2
        assert order[2:] == [f"/{n}" for n in (2, 4, 5, 6, 8, 9)]
        assert upstream.connections == 2
        assert (transport.open_connections, transport.idle_connections, transport.waiting_requests) == (2, 2, 0)


async def test_a_wait_for_a_place_is_bounded(wire: Wire) -> None:
    """Nothing free within the `pool` timeout is a PoolTimeout, and leaves no trace."""
    async with wire.upstream(Reply([STALL])) as upstream, limited(wire, 1) as client:
        async with client.stream("GET", upstream.url):
            with pytest.raises(httpx2.PoolTimeout):
                await client.get(upstream.url, timeout=httpx2.Timeout(None, pool=0.05))
            assert transport_of(client).waiting_requests == 0
            assert transport_of(client).open_connections == 1
        await until(lambda: transport_of(client).open_connections == 0)


async def test_a_place_goes_to_another_origin(wire: Wire) -> None:
    """Idle connections to one upstream do not keep requests to another waiting."""
    async with wire.upstream(Reply([b"a"])) as one, wire.upstream(Reply([b"b"])) as other, limited(wire, 1) as client:
        for _ in range(3):
            assert (await client.get(one.url)).content == b"a"
            assert (await client.get(other.url)).content == b"b"
        assert (one.connections, other.connections) == (3, 3)
        assert transport_of(client).open_connections == 1


async def test_first_in_line_wins_over_a_reusable_connection(wire: Wire) -> None:
    """Who waits for another origin is not passed by, again and again, by requests that could reuse a connection."""
    release = asyncio.Event()
    async with (
        wire.upstream(Reply([Wait(release), b"a"])) as one,
        wire.upstream(Reply([b"b"])) as other,
        limited(wire, 1) as client,
    ):
        order: list[str] = []

        async def ask(name: str, url: str) -> None:
            # A connection to one upstream that carried a request to another would show it the other's key.
            assert (await client.get(url)).content == (b"a" if url == one.url else b"b")
            order.append(name)

        async with asyncio.TaskGroup() as group:
            for name, url in (("1", one.url), ("2", other.url), ("3", one.url)):
                group.create_task(ask(name, url))
                await turns(5)
            release.set()
        assert order == ["1", "2", "3"]


async def test_cancelled_when_just_served(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place that was given in the very turn in which its waiter was cancelled is not lost."""
    async with wire.upstream() as upstream, limited(wire, 1) as client:
        pool = transport_of(client)._pool
        serve = pool._serve_first
        waiter: asyncio.Task[object]

        def serve_and_cancel(connection: Connection) -> None:
            serve(connection)
            waiter.cancel()

        monkeypatch.setattr(pool, "_serve_first", serve_and_cancel)
        for headers in ({}, {"connection": "close"}):
            go = asyncio.Event()
            upstream.reply = Reply([Wait(go), b"x"])
            async with client.stream("GET", upstream.url, headers=headers) as response:
                waiter = asyncio.create_task(client.get(upstream.url))
                await until(lambda: pool.waiting == 1)
                go.set()
                await response.aread()
                await asyncio.wait([waiter])
                assert waiter.cancelled()
        assert (await client.get(upstream.url)).content == b"x"
        assert (pool.open, pool.waiting) == (1, 0)


async def test_cancelled_when_just_answered(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is cancelled in the turn in which the answer came does not close what serves the next one already."""
    go = asyncio.Event()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
    reply = Reply([Wait(go), answer, STALL], framing="none")
    async with wire.upstream(reply) as upstream, limited(wire, 1) as client:
        pool = transport_of(client)._pool
        free = pool.free
        first, second = (asyncio.create_task(client.get(upstream.url)) for _ in range(2))

        def free_and_cancel(connection: Connection) -> None:
            free(connection)
            first.cancel()

        monkeypatch.setattr(pool, "free", free_and_cancel)
        await upstream.next_exchange()
        await until(lambda: pool.waiting == 1)
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert (await second).content == b"x"
        assert upstream.connections == 1


@pytest.mark.parametrize("how", [RESET, FIN])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_broken_after_it_was_read(method: str, how: Break, wire: Wire, client: httpx2.AsyncClient) -> None:
    """A reset says nothing of what was read before it, so a POST that met one is left to the caller."""

    def reply(exchange: Exchange) -> Reply:
        return Reply(before=[how]) if exchange.path == "/break" and len(upstream.exchanges) == 2 else Reply([b"x"])

    async with wire.upstream(reply) as upstream:
        assert (await client.request(method, upstream.url)).content == b"x"
        if method == "GET":
            assert (await client.request(method, f"{upstream.url}/break")).content == b"x"
            assert (len(upstream.exchanges), upstream.connections) == (3, 2)
        else:
            with pytest.raises((httpx2.ReadError, httpx2.RemoteProtocolError)):
                await client.request(method, f"{upstream.url}/break")
            assert (len(upstream.exchanges), upstream.connections) == (2, 1)


async def test_a_new_connection_that_breaks_is_not_repeated(wire: Wire, client: httpx2.AsyncClient) -> None:
    """Nothing is said about a connection that never worked; a GET on it fails as over the stock transport."""
    async with wire.upstream(Reply(before=[FIN])) as upstream:
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.get(upstream.url)
        assert len(upstream.exchanges) == 1


async def test_closed_before_it_was_read() -> None:
    """A POST that met the close of its idle connection is sent again: the kernel knows that nobody read it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
        async with httpx2.AsyncClient(transport=Transport(), timeout=None) as client:
            pool = transport_of(client)._pool
            first = asyncio.create_task(client.post(url, content=b"one"))
            peer, _ = await loop.sock_accept(listener)
            await loop.sock_recv(peer, 65_536)
            await loop.sock_sendall(peer, answer)
            assert (await first).content == b"x"
            (connection,) = pool._idle
            # It is closed after the look at it and before the request is out: both happen in one turn of the loop.
            stale = connection.stale

            def closing() -> bool:
                was = stale()
                peer.close()
                return was

            connection.stale = closing  # type: ignore[method-assign]
            second = asyncio.create_task(client.post(url, content=b"two"))
            other, _ = await loop.sock_accept(listener)
            said = await loop.sock_recv(other, 65_536)
            assert said.endswith(b"\r\n\r\ntwo")
            await loop.sock_sendall(other, answer)
            assert (await second).content == b"x"
            other.close()
            del connection.stale


async def test_an_unseen_end_is_looked_for(wire: Wire, client: httpx2.AsyncClient) -> None:
    """An end that lies in the kernel while the loop is busy is found before a request is sent into it."""
    async with wire.upstream(Reply([b"x"])) as upstream:
        await client.get(upstream.url)
        (connection,) = transport_of(client)._pool._idle
        assert not connection.stale()
        await upstream.drop()
        # Whether the loop has seen it by now or not:
        assert connection.stale()


async def test_many_connections() -> None:
    """Three hundred streams at once on one transport, and the next one waits for a place."""
    release = asyncio.Event()
    transport = Transport(max_connections=300)
    async with Upstream(Reply([b"x", Wait(release), b"y"])) as upstream:
        async with httpx2.AsyncClient(transport=transport, timeout=None) as client:

            async def hear() -> bytes:
                heard = bytearray()
                async with client.stream("GET", upstream.url) as response:
                    found = body_of(response)
                    assert found is not None
                    await found.push(heard.extend)
                return bytes(heard)

            tasks = [asyncio.create_task(hear()) for _ in range(301)]
            await until(lambda: transport.open_connections == 300 and transport.waiting_requests == 1)
            release.set()
            assert set(await asyncio.gather(*tasks)) == {b"xy"}
            assert transport.open_connections == transport.idle_connections == 300
        assert transport.open_connections == 0
