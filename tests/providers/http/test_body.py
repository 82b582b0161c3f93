"""Bodies: pushed and pulled, never more of them held than a reader is good for."""

import asyncio
import gc
import gzip
import weakref
from collections.abc import Awaitable, Callable
from contextvars import ContextVar

import httpx2
import pytest

from realtime.providers.http import Body, Transport, body_of
from realtime.providers.http.body import MAX_HELD_BYTES

from ...upstream import FIN, RESET, STALL, Reply, Wait
from ...upstream.server import Step
from .conftest import Wire, turns, until


def body(response: httpx2.Response) -> Body:
    found = body_of(response)
    assert found is not None
    return found


async def pull(response: httpx2.Response, feed: Callable[[bytes], None]) -> None:
    async for piece in response.aiter_raw():
        feed(piece)


class Gate:
    """An upstream's steps, let through one by one."""

    def __init__(self, *pieces: bytes) -> None:
        self.events = [asyncio.Event() for _ in pieces]
        self.steps: list[Step] = []
        for event, piece in zip(self.events, pieces, strict=True):
            self.steps += [Wait(event), piece]


async def test_every_read_is_pushed_at_once(wire: Wire, client: httpx2.AsyncClient) -> None:
    """A piece reaches the feed when it arrives, with no task in between, and the push ends with the body."""
    gate = Gate(b"one", b"two", b"three")
    heard: asyncio.Queue[tuple[bytes, asyncio.Task[object] | None]] = asyncio.Queue()
    async with wire.upstream(Reply(gate.steps)) as upstream, client.stream("GET", upstream.url) as response:
        push = asyncio.create_task(body(response).push(lambda piece: heard.put_nowait((piece, asyncio.current_task()))))
        for event, piece in zip(gate.events, (b"one", b"two", b"three"), strict=True):
            event.set()
            # No task is current: the connection has called, in the loop's own turn.
            assert await heard.get() == (piece, None)
        await push


async def test_the_feed_has_the_context_of_its_push(wire: Wire, client: httpx2.AsyncClient) -> None:
    """Context variables are those of who pushes, not of who once opened the connection."""
    name: ContextVar[str] = ContextVar("name")

    async def ask(mine: str) -> list[str]:
        name.set(mine)
        heard: list[str] = []
        gate = Gate(b"x", b"y")
        upstream.reply = Reply(gate.steps)
        async with client.stream("GET", upstream.url) as response:
            push = asyncio.create_task(body(response).push(lambda _: heard.append(name.get())))
            for event in gate.events:
                event.set()
                await turns(5)
            await push
        return heard

    async with wire.upstream() as upstream:
        for mine in ("first", "second"):
            assert set(await asyncio.create_task(ask(mine))) == {mine}
        assert upstream.connections == 1


async def test_what_came_before_is_fed_first(wire: Wire, client: httpx2.AsyncClient, ours: Transport) -> None:
    """Bytes that arrived while nobody asked are given in one call; the connection was free by then."""
    async with wire.upstream(Reply([b"a", b"b", b"c"])) as upstream, client.stream("GET", upstream.url) as response:
        await upstream.exchanges[0].answered.wait()
        await until(lambda: ours.idle_connections == 1)
        pieces: list[bytes] = []
        await body(response).push(pieces.append)
        assert pieces == [b"abc"]


async def test_chunks_of_one_read_are_one_call(wire: Wire, client: httpx2.AsyncClient) -> None:
    """Many chunks in one segment are given as one piece."""
    go = asyncio.Event()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    steps: list[Step] = [head, Wait(go), b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n", STALL]
    reply = Reply(steps, framing="none")
    async with wire.upstream(reply) as upstream, client.stream("GET", upstream.url) as response:
        pieces: list[bytes] = []
        push = asyncio.create_task(body(response).push(pieces.append))
        go.set()
        await push
        assert pieces == [b"abc"]


async def test_nothing_is_fed_while_the_feed_waits(wire: Wire, client: httpx2.AsyncClient) -> None:
    """What a feed returns is awaited before it is called again; what came meanwhile is one piece then."""
    gate = Gate(b"one", b"two", b"three")
    release = [asyncio.Event(), asyncio.Event()]
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    running = 0

    async def rest(event: asyncio.Event) -> None:
        nonlocal running
        running += 1
        await event.wait()
        running -= 1

    def feed(piece: bytes) -> Awaitable[None] | None:
        assert running == 0
        heard.put_nowait(piece)
        return rest(release.pop(0)) if release else None

    async with wire.upstream(Reply(gate.steps)) as upstream, client.stream("GET", upstream.url) as response:
        first, second = release
        push = asyncio.create_task(body(response).push(feed))
        gate.events[0].set()
        assert await heard.get() == b"one"
        gate.events[1].set()
        gate.events[2].set()
        await upstream.exchanges[0].answered.wait()
        assert heard.empty()
        first.set()
        said = await heard.get()
        second.set()
        await push
        while not heard.empty():
            said += heard.get_nowait()
        assert said == b"twothree"


@pytest.mark.parametrize("early", [True, False])
async def test_an_error_of_the_feed_is_raised(early: bool, wire: Wire, client: httpx2.AsyncClient) -> None:
    """It comes out of the push as it is, and the upstream is closed, whether the piece was there before or not."""
    go = asyncio.Event()
    steps = [b"x", STALL] if early else [Wait(go), b"x", STALL]

    def feed(piece: bytes) -> None:
        raise LookupError(piece)

    async with wire.upstream(Reply(steps)) as upstream, client.stream("GET", upstream.url) as response:
        if early:
            await upstream.exchanges[0].stalled.wait()
        push = asyncio.create_task(body(response).push(feed))
        go.set()
        with pytest.raises(LookupError, match="x"):
            await push
        await upstream.exchanges[0].closed.wait()


async def test_an_error_of_what_the_feed_returned_is_raised(wire: Wire, client: httpx2.AsyncClient) -> None:
    """An awaitable that fails ends the push as the feed itself would."""

    async def fail() -> None:
        raise LookupError

    async with wire.upstream(Reply([b"x", STALL])) as upstream, client.stream("GET", upstream.url) as response:
        with pytest.raises(LookupError):
            await body(response).push(lambda _: fail())
        await upstream.exchanges[0].closed.wait()


@pytest.mark.parametrize("waits", [True, False])
async def test_cancelling_a_push_closes(waits: bool, wire: Wire, client: httpx2.AsyncClient) -> None:
    """Cancelled while it waits for bytes or for the feed, a push closes the upstream's connection."""
    heard = asyncio.Event()

    def feed(_: bytes) -> asyncio.Future[None] | None:
        heard.set()
        return asyncio.get_running_loop().create_future() if waits else None

    async with wire.upstream(Reply([b"x", STALL])) as upstream, client.stream("GET", upstream.url) as response:
        push = asyncio.create_task(body(response).push(feed))
        await heard.wait()
        push.cancel()
        with pytest.raises(asyncio.CancelledError):
            await push
        await upstream.exchanges[0].closed.wait()


async def test_cancelled_before_what_the_feed_returned_began(wire: Wire, client: httpx2.AsyncClient) -> None:
    """A coroutine that will not be awaited any more is closed, so that nobody warns of it."""
    go = asyncio.Event()
    ran = False

    async def late() -> None:
        nonlocal ran
        ran = True

    def feed(_: bytes) -> Awaitable[None]:
        push.cancel()
        return late()

    async with (
        wire.upstream(Reply([Wait(go), b"x", STALL])) as upstream,
        client.stream("GET", upstream.url) as response,
    ):
        push = asyncio.create_task(body(response).push(feed))
        await asyncio.sleep(0)
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await push
        await upstream.exchanges[0].closed.wait()
        assert not ran


FAULTS = {
    "fin": (FIN, httpx2.RemoteProtocolError),
    "reset": (RESET, httpx2.ReadError),
    "stall": (STALL, httpx2.ReadTimeout),
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
@pytest.mark.parametrize("pushed", [True, False])
async def test_faults(fault: str, pushed: bool, wire: Wire, ours: Transport) -> None:
    """A push raises what reading raises, after all that came before."""
    step, error = FAULTS[fault]
    go, heard = asyncio.Event(), bytearray()
    timeout = httpx2.Timeout(None, read=0.2)
    async with (
        httpx2.AsyncClient(transport=ours, timeout=timeout) as client,
        wire.upstream(Reply([b"abc", Wait(go), step])) as upstream,
        client.stream("GET", upstream.url) as response,
    ):

        def feed(piece: bytes) -> None:
            heard.extend(piece)
            go.set()

        with pytest.raises(error):
            await (body(response).push(feed) if pushed else pull(response, feed))
        assert heard == b"abc"
        assert ours.idle_connections == 0


@pytest.mark.parametrize("wire", ["plain"], indirect=True)
@pytest.mark.parametrize("pushed", [True, False])
async def test_every_sign_of_life_puts_the_timeout_off(pushed: bool, wire: Wire, ours: Transport) -> None:
    """A body whose pieces come in time is read, though it takes longer than the timeout in all."""
    gates = Gate(*[b"x"] * 6)
    timeout = httpx2.Timeout(None, read=1.0)
    loop = asyncio.get_running_loop()
    async with (
        httpx2.AsyncClient(transport=ours, timeout=timeout) as client,
        wire.upstream(Reply(gates.steps)) as upstream,
        client.stream("GET", upstream.url) as response,
    ):
        for n, event in enumerate(gates.events):
            loop.call_later(0.3 * n, event.set)
        pieces: list[bytes] = []
        started = loop.time()
        if pushed:
            await body(response).push(pieces.append)
        else:
            pieces += [piece async for piece in response.aiter_raw()]
        assert b"".join(pieces) == b"x" * 6
        assert loop.time() - started > 1.0


@pytest.mark.parametrize("wire", ["plain"], indirect=True)
async def test_a_slow_reader_does_not_time_out(wire: Wire, ours: Transport) -> None:
    """Silence counts while somebody waits for bytes; a reader that is busy is not the peer's fault."""
    go, timeout = asyncio.Event(), httpx2.Timeout(None, read=1.0)
    async with (
        httpx2.AsyncClient(transport=ours, timeout=timeout) as client,
        wire.upstream(Reply([b"x", Wait(go), b"y"])) as upstream,
        client.stream("GET", upstream.url) as response,
    ):
        pieces = response.aiter_raw()
        assert await anext(pieces) == b"x"
        await asyncio.sleep(1.5)
        go.set()
        assert b"".join([piece async for piece in pieces]) == b"y"


@pytest.mark.parametrize("pushed", [True, False])
async def test_nobody_reads(pushed: bool, wire: Wire, client: httpx2.AsyncClient, ours: Transport) -> None:
    """A body that nobody takes is left with its sender but for a bounded part, and is whole once it is taken."""
    reply = Reply([b"%05d" % n + b"x" * 65_531 for n in range(16 * 16)])
    async with wire.upstream(reply) as upstream, client.stream("GET", upstream.url) as response:
        found = body(response)
        await until(lambda: found.held > MAX_HELD_BYTES)
        await turns(1000)
        assert found.held < MAX_HELD_BYTES + 512 * 1024
        assert not upstream.exchanges[0].answered.is_set()
        size = 0

        async def busy() -> None:
            await asyncio.sleep(0)

        def feed(piece: bytes) -> Awaitable[None] | None:
            nonlocal size
            size += len(piece)
            return busy()

        if pushed:
            await found.push(feed)
        else:
            async for piece in response.aiter_raw():
                size += len(piece)
        assert size == 16 * 1024 * 1024
        assert ours.idle_connections == 1


async def test_a_large_last_read_leaves_a_connection_that_reads(wire: Wire, client: httpx2.AsyncClient) -> None:
    """A body whose last bytes are more than is held does not leave its connection deaf to the next answer."""
    async with wire.upstream(Reply([b"x" * 2 * MAX_HELD_BYTES])) as upstream:
        for _ in range(3):
            assert (await client.get(upstream.url)).content == b"x" * 2 * MAX_HELD_BYTES
        assert upstream.connections == 1


async def test_a_body_of_many_small_chunks(wire: Wire, client: httpx2.AsyncClient) -> None:
    """Chunks of one byte, in segments as they come, are each given once and in order."""
    said = bytes(n % 251 for n in range(3000))
    reply = Reply([said[n : n + 1] for n in range(len(said))])
    async with wire.upstream(reply) as upstream, client.stream("GET", upstream.url) as response:
        heard = bytearray()
        await body(response).push(heard.extend)
        assert heard == said


async def test_breaking_off(wire: Wire, client: httpx2.AsyncClient) -> None:
    """Who leaves an iteration in the middle and closes the response has closed the connection."""
    async with wire.upstream(Reply([b"x", STALL])) as upstream:
        async with client.stream("GET", upstream.url) as response:
            async for _ in response.aiter_raw():
                break
        await upstream.exchanges[0].closed.wait()


@pytest.mark.parametrize("pushed", [True, False])
async def test_closed_by_another_task(pushed: bool, wire: Wire, client: httpx2.AsyncClient) -> None:
    """Who reads is told at once that there will be no more, and does not take it for the end."""
    async with wire.upstream(Reply([b"x", STALL])) as upstream:
        async with client.stream("GET", upstream.url) as response:
            heard = asyncio.Event()

            def feed(_: bytes) -> None:
                heard.set()

            reader = asyncio.create_task(body(response).push(feed) if pushed else pull(response, feed))
            await heard.wait()
            await response.aclose()
            with pytest.raises(httpx2.ReadError):
                await reader
        await upstream.exchanges[0].closed.wait()


async def test_a_closed_body_is_not_taken_for_an_end(wire: Wire, client: httpx2.AsyncClient) -> None:
    """What had come whole but was not taken when another task closed it is an error to whoever reads on."""
    async with wire.upstream(Reply([b"x"])) as upstream, client.stream("GET", upstream.url) as response:
        await upstream.exchanges[0].answered.wait()
        found = body(response)
        await until(lambda: found.over)
        await found.aclose()
        with pytest.raises(httpx2.ReadError):
            await found.push(lambda _: None)


async def test_an_encoded_body_is_not_pushed(wire: Wire, client: httpx2.AsyncClient) -> None:
    """Whoever asks to push a body that has to be decoded gets None, and pulls."""
    reply = Reply([gzip.compress(b"hello")], headers={"content-encoding": "gzip"})
    async with wire.upstream(reply) as upstream, client.stream("GET", upstream.url) as response:
        assert body_of(response) is None
        assert [piece async for piece in response.aiter_bytes()] == [b"hello"]


@pytest.mark.parametrize("whole", [True, False])
async def test_nothing_is_left_to_the_collector(
    whole: bool, wire: Wire, client: httpx2.AsyncClient, ours: Transport
) -> None:
    """What was read, or broken off, is freed by its last reference: a collection stops every stream for long."""
    go = asyncio.Event()
    async with wire.upstream(Reply([b"x", Wait(go), b"y"])) as upstream:
        gc.disable()
        try:
            async with client.stream("GET", upstream.url) as response:
                (connection,) = ours._pool._open
                assert connection._answer is not None
                answer, found = weakref.ref(connection._answer), weakref.ref(body(response))
                if whole:
                    go.set()
                    await body(response).push(lambda _: None)
            del response
            await turns(5)
            assert (answer(), found()) == (None, None)
        finally:
            gc.enable()
