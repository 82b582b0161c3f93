"""Connecting: names, then TCP to the first address that answers, then TLS, all within one deadline."""

import asyncio
import ssl
from collections import deque
from contextlib import suppress
from ipaddress import ip_address
from itertools import chain, zip_longest
from socket import SOCK_STREAM

import httpx2

from .connection import Connection
from .origin import Origin
from .secured import Secured

# RFC 8305 8: how much longer an address may take than the next is worth waiting for. uvloop tries one after the other.
_STAGGER_S = 0.25


async def dial(connection: Connection, context: ssl.SSLContext, connect_s: float | None) -> None:
    """Connect it to its origin.

    TLS is started on a connection that is ours already: what is cancelled in the middle of a handshake is closed
    by us, where a loop that did both would first say good-bye to a peer that may not answer.

    Raises:
        httpx2.ConnectTimeout: Name, connection and handshake together took longer than `connect_s` seconds.
        httpx2.ConnectError: Any of them failed.
    """
    try:
        async with asyncio.timeout(connect_s):
            await _connect(connection, context)
    except TimeoutError as error:
        raise httpx2.ConnectTimeout(str(error)) from error
    except OSError as error:
        raise httpx2.ConnectError(str(error)) from error
    if connection.closed:
        raise httpx2.ConnectError("The connection was closed.")


async def _connect(connection: Connection, context: ssl.SSLContext) -> None:
    origin = connection.origin
    transport = await _reach(origin)
    if transport.is_closing():
        raise ConnectionResetError("The peer closed before it was asked anything.")
    transport.set_protocol(connection)
    connection.connection_made(transport)
    if origin.secure:
        secured = Secured(transport, connection, context, origin.host)
        await secured.agree()
        connection.secured(secured)


async def _reach(origin: Origin) -> asyncio.Transport:
    """The first of its addresses to answer, by both versions of IP in turn, so that neither has to work.

    Not asyncio's `staggered_race`: each of its races is garbage that only a collection frees, which stops everything.
    """
    hosts = await _addresses(origin)
    if len(hosts) == 1:
        return await _attempt(hosts[0], origin.port)
    running: set[asyncio.Task[asyncio.Transport]] = set()
    fault: BaseException | None = None
    try:
        while hosts or running:
            if hosts:
                running.add(asyncio.create_task(_attempt(hosts.popleft(), origin.port)))
            timeout_s = _STAGGER_S if hosts else None
            done, running = await asyncio.wait(running, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            while done:
                task = done.pop()
                fault = task.exception()
                if fault is None:
                    running |= done
                    return task.result()
                # It holds the fault, and what is raised from here would hold it.
                del task
        assert fault is not None
        raise fault
    finally:
        fault = None
        for late in running:
            late.cancel()
            late.add_done_callback(_leave)


async def _addresses(origin: Origin) -> deque[str]:
    with suppress(ValueError):
        # An address is its own, and needs no thread to be found.
        return deque([str(ip_address(origin.host))])
    found = await asyncio.get_running_loop().getaddrinfo(origin.host, origin.port, type=SOCK_STREAM)
    families = [[one[4] for one in found if (one[0] == found[0][0]) is first] for first in (True, False)]
    return deque(str(one[0]) for one in chain(*zip_longest(*families)) if one is not None)


async def _attempt(host: str, port: int) -> asyncio.Transport:
    # A protocol of no meaning: only one of them becomes the connection.
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, host, port)
    return transport


def _leave(task: "asyncio.Task[asyncio.Transport]") -> None:
    """Close what was connected too late, and look at what failed, which nobody else will."""
    if not task.cancelled() and task.exception() is None:
        task.result().abort()
