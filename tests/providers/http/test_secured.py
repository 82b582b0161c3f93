"""TLS without a socket: whatever the pieces in which it comes, what was said is what is heard, and how it ends."""

import asyncio
import ctypes
import gc
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import pytest
import trustme

from realtime.providers.http.connection import Connection
from realtime.providers.http.origin import Origin
from realtime.providers.http.secured import Secured

from .conftest import serving, trusting, turns

HOST = "127.0.0.1"


class Line(asyncio.Transport):
    """Keeps what is written to it."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.aborted = False
        self.longest = 0

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Nobody reads here."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data
        self.longest = max(self.longest, len(data))

    def abort(self) -> None:
        self.aborted = True


class Hearer(Connection):
    """Notes what it is told."""

    def __init__(self) -> None:
        super().__init__(Origin(secure=True, host=HOST, port=443), cast("Any", None))
        self.heard: list[bytes | str | Exception | None] = []

    def data_received(self, data: bytes) -> None:
        self.heard.append(data)

    def eof_received(self) -> None:
        self.heard.append("end")

    def connection_lost(self, exc: Exception | None) -> None:
        self.heard.append(exc)


class Peer:
    """A server of TLS whose bytes the test carries."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._in, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self.out, server_side=True)

    def takes(self, line: Line) -> None:
        """What was written to it."""
        self._in.write(bytes(line.sent))
        line.sent.clear()

    def shakes(self, line: Line) -> bytes:
        """Take the client's part of the handshake and give its own."""
        self.takes(line)
        with suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.out.read()

    def says(self, *words: bytes) -> bytes:
        for word in words:
            self.tls.write(word)
        return self.out.read()


class Pair:
    """Both ends, not agreed yet."""

    def __init__(self, server: ssl.SSLContext, client: ssl.SSLContext) -> None:
        self.line, self.hearer, self.peer = Line(), Hearer(), Peer(server)
        self.secured = Secured(self.line, self.hearer, client, HOST)

    async def agree(self, size: int = 1 << 20) -> bytes:
        """Do the handshake, the peer's half of it in pieces of `size`; what the peer says behind it is given back."""
        asyncio.get_running_loop().call_soon(lambda: self.deliver(self.peer.shakes(self.line), size))
        await self.secured.agree()
        return self.peer.shakes(self.line)

    def deliver(self, data: bytes, size: int = 1 << 20) -> None:
        for start in range(0, len(data), size):
            self.secured.data_received(data[start : start + size])


@pytest.fixture
def pair(authority: trustme.CA) -> Callable[[], Pair]:
    server, client = serving(authority, HOST), trusting(authority)
    return lambda: Pair(server, client)


@pytest.mark.parametrize("size", [1, 700, 1 << 20])
async def test_however_it_is_cut(size: int, pair: Callable[[], Pair]) -> None:
    """Handshake, tickets and records in pieces of any size are the same words in the same order."""
    both = pair()
    tickets = await both.agree(size)
    words = [b"one", b"two" * 20_000, b"three"]
    both.deliver(tickets + both.peer.says(*words), size)
    assert b"".join(cast("list[bytes]", both.hearer.heard)) == b"".join(words)


async def test_what_came_in_one_read_is_heard_at_once(pair: Callable[[], Pair]) -> None:
    """Tickets and several records, longer than a piece, are one call."""
    both = pair()
    tickets = await both.agree()
    both.deliver(tickets + both.peer.says(b"x" * 40_000, b"y"))
    assert both.hearer.heard == [b"x" * 40_000 + b"y"]


async def test_what_is_written_goes_out_in_records(pair: Callable[[], Pair]) -> None:
    """A long request arrives whole, and was never in memory a second time."""
    both = pair()
    await both.agree()
    both.secured.write(b"r" * 100_000)
    longest = both.line.longest
    both.peer.takes(both.line)
    taken = b""
    while len(taken) < 100_000:
        taken += both.peer.tls.read(100_000)
    assert (taken, longest < 20_000) == (b"r" * 100_000, True)


async def test_a_farewell_is_an_end_behind_what_was_said(pair: Callable[[], Pair]) -> None:
    """Also where both come in one read."""
    both = pair()
    last = await both.agree() + both.peer.says(b"last")
    with pytest.raises(ssl.SSLWantReadError):
        both.peer.tls.unwrap()
    both.deliver(last + both.peer.out.read())
    assert both.hearer.heard == [b"last", "end"]


async def test_what_is_no_record_breaks_it(pair: Callable[[], Pair]) -> None:
    """The connection is aborted and hears why; what is still written to it is lost without a fault."""
    both = pair()
    await both.agree()
    both.deliver(b"this is no record of TLS")
    assert both.line.aborted
    both.line.sent.clear()
    both.secured.write(b"more")
    both.secured.connection_lost(None)
    (fault,) = both.hearer.heard
    assert isinstance(fault, ssl.SSLError)
    assert (fault.reason, bytes(both.line.sent)) == ("WRONG_VERSION_NUMBER", b"")


async def test_who_speaks_first_is_heard(pair: Callable[[], Pair]) -> None:
    """What comes behind the handshake in the same read does not wait for the next; the connection judges it."""
    both = pair()
    context = both.peer.tls.context
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    both.peer = Peer(context)
    task = asyncio.create_task(both.secured.agree())
    await turns(2)
    both.deliver(both.peer.shakes(both.line))
    both.deliver(both.peer.shakes(both.line) + both.peer.says(b"unasked"))
    await task
    assert both.hearer.heard == [b"unasked"]


async def test_an_end_within_the_handshake(pair: Callable[[], Pair]) -> None:
    """It is a fault of the connection, for whoever waits and for whoever keeps it."""
    both = pair()
    task = asyncio.create_task(both.secured.agree())
    await turns(2)
    both.secured.connection_lost(None)
    with pytest.raises(ConnectionResetError):
        await task
    assert both.hearer.heard == [None]


async def test_a_fault_leaves_nothing_to_the_collector(authority: trustme.CA) -> None:
    """Neither one of the handshake nor one behind it is held by what it holds."""
    server = serving(authority, HOST)
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(ssl.SSLCertVerificationError):
            await Pair(server, trusting(trustme.CA())).agree()
        both = Pair(server, trusting(authority))
        await both.agree()
        both.deliver(b"this is no record of TLS")
        both.secured.connection_lost(None)
        # The connection of the test keeps it, and what it keeps it for.
        both.hearer.heard.clear()
        del both
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = [one for one in gc.garbage if isinstance(one, BaseException | Secured | asyncio.Future)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == []


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="only glibc tells what is allocated")
async def test_a_ticket_leaves_no_room_for_its_answer(pair: Callable[[], Pair]) -> None:
    """OpenSSL keeps 16 KiB for each connection that had a ticket, until it is told to let go."""
    pairs = [pair() for _ in range(16)]
    tickets = [await both.agree() for both in pairs]
    before = allocated()
    for both, ticket in zip(pairs, tickets, strict=True):
        both.deliver(ticket)
    assert (allocated() - before) / len(pairs) < 8 * 1024


def allocated() -> int:
    """Bytes that malloc has given and not got back."""

    class Info(ctypes.Structure):
        _names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
        _fields_ = [(name, ctypes.c_size_t) for name in _names.split()]

    ask = ctypes.CDLL(None).mallinfo2
    ask.restype = Info
    info = ask()
    return int(info.uordblks + info.hblkhd)
