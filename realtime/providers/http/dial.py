"""Connecting: TCP, then TLS, within one deadline."""

import asyncio
import ssl

import httpx2

from .connection import Connection


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
            await _connect(connection, context, connect_s)
    except TimeoutError as error:
        raise httpx2.ConnectTimeout(str(error)) from error
    except OSError as error:
        raise httpx2.ConnectError(str(error)) from error
    if connection.closed:
        raise httpx2.ConnectError("The connection was closed.")


async def _connect(connection: Connection, context: ssl.SSLContext, connect_s: float | None) -> None:
    loop = asyncio.get_running_loop()
    origin = connection.origin
    transport, _ = await loop.create_connection(lambda: connection, origin.host, origin.port)
    if origin.secure:
        secured = await loop.start_tls(
            transport, connection, context, server_hostname=origin.host, ssl_handshake_timeout=connect_s
        )
        if secured is not None:
            connection.connection_made(secured)
