"""Each test here runs on asyncio's loop and on uvloop's, and leaves neither a task nor a socket behind."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass

import httpx2
import psutil
import pytest
import trustme
import uvloop

from realtime.providers.http import Transport

from ...upstream import Reply, Upstream
from ...upstream.server import Script


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@dataclass(frozen=True)
class Wire:
    """Plain or TLS: what a server needs, and what a client has to trust."""

    server: ssl.SSLContext | None
    client: ssl.SSLContext

    def upstream(self, reply: Reply | Script | None = None) -> Upstream:
        return Upstream(reply, tls=self.server)

    def stock(self) -> httpx2.AsyncHTTPTransport:
        """The oracle."""
        return httpx2.AsyncHTTPTransport(verify=self.client)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """What a client of the tests trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


def serving(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    """The certificate of a server with these names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


@pytest.fixture(params=["plain", "tls"])
def wire(request: pytest.FixtureRequest, authority: trustme.CA) -> Wire:
    return Wire(serving(authority, "127.0.0.1") if request.param == "tls" else None, trusting(authority))


def sockets() -> int:
    """TCP sockets of this process."""
    return len(psutil.Process().net_connections("tcp"))


@pytest.fixture(autouse=True)
async def clean() -> AsyncIterator[None]:
    """Nothing is left; turns of the loop are given for what closes at once."""
    before = sockets()
    yield
    for _ in range(10):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert sockets() == before


@pytest.fixture
async def ours(wire: Wire, clean: None) -> AsyncIterator[Transport]:
    async with aclosing(Transport(context=wire.client)) as transport:
        yield transport
    assert (transport.open_connections, transport.idle_connections, transport.waiting_requests) == (0, 0, 0)


@pytest.fixture
async def client(ours: Transport) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(transport=ours, timeout=None) as client:
        yield client


async def until(condition: Callable[[], bool]) -> None:
    """Give the loop turns until `condition()`, which nothing tells."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0)


async def turns(number: int) -> None:
    """Give the loop so many turns."""
    for _ in range(number):
        await asyncio.sleep(0)
