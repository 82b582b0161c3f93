"""What `httpx2`, and so both SDKs, sees of it."""

import ssl

import httpx2

from .body import extension
from .connection import Connection
from .origin import Origin
from .outgoing import Outgoing
from .pool import Pool

# uvicorn, and so vLLM and most local servers, closes idle connections after 5 s, and a request that meets that close
# cannot always be repeated.
KEEPALIVE_S = 4.0


class Transport(httpx2.AsyncBaseTransport):
    """HTTP/1.1 over TCP and TLS, with the faults of httpx2's own transport. For one event loop.

    A request whose connection was closed under it is sent once more, on a new one, when the peer cannot have seen it:
    it was used before, no byte of an answer came, and either the kernel knows that nothing of the request had arrived
    when the peer closed, or the method is idempotent. Browsers repeat a POST without that knowledge; here it could be
    a second generation, and a second bill (RFC 9110 9.2.2).

    Args:
        max_connections: One request more waits for a place, in order.
        keepalive_s: Seconds a connection is kept for the next request.
        context: For TLS; its protocols become `http/1.1`. What httpx2 makes by default when None.
    """

    def __init__(
        self,
        *,
        max_connections: int = 1000,
        keepalive_s: float = KEEPALIVE_S,
        context: ssl.SSLContext | None = None,
    ) -> None:
        context = context or httpx2.create_ssl_context()
        context.set_alpn_protocols(["http/1.1"])
        self._pool = Pool(max_connections, keepalive_s, context)

    @property
    def open_connections(self) -> int:
        """Connections, those included that are being made or closed."""
        return self._pool.open

    @property
    def idle_connections(self) -> int:
        """Connections that wait for a request."""
        return self._pool.idle

    @property
    def waiting_requests(self) -> int:
        """Requests that wait for a connection."""
        return self._pool.waiting

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it and give the head of the answer, with a `Body` as its stream.

        Raises:
            httpx2.UnsupportedProtocol: The URL is of another scheme than http and https.
            httpx2.LocalProtocolError: The request is none.
            httpx2.PoolTimeout: No connection became free within the `pool` timeout.
            httpx2.ConnectTimeout: Name, connection and handshake took longer than the `connect` timeout.
            httpx2.ConnectError: One of them failed.
            httpx2.WriteTimeout: The peer took nothing for longer than the `write` timeout.
            httpx2.ReadTimeout: The peer said nothing for longer than the `read` timeout; reading raises it too.
            httpx2.ReadError: The connection broke; reading raises it too.
            httpx2.RemoteProtocolError: It ended too early, or what came is not HTTP; reading raises it too.
        """
        origin, outgoing = Origin.of(request.url), Outgoing(request)
        limits = request.extensions.get("timeout", {})
        fresh = False
        while True:
            connection = await self._pool.take(origin, limits.get("pool"), limits.get("connect"), fresh=fresh)
            reused = connection.used
            try:
                answer, body = await connection.ask(outgoing, limits.get("write"), limits.get("read"))
            except (httpx2.ReadError, httpx2.RemoteProtocolError):
                if not reused or not _repeatable(outgoing, connection):
                    raise
                fresh = True
                continue
            response = httpx2.Response(
                answer.status,
                headers=answer.headers,
                stream=body,
                extensions={"http_version": answer.version, "reason_phrase": answer.reason} | extension(body),
            )
            # The connection keeps it to the end of the body; the response has a copy of them.
            answer.headers.clear()
            return response

    async def aclose(self) -> None:
        """Close every connection, whatever it is doing."""
        await self._pool.close()


def _repeatable(outgoing: Outgoing, connection: Connection) -> bool:
    """Nobody can have acted on it, or to ask twice is to ask once."""
    return outgoing.repeatable and connection.untouched and (connection.refused or outgoing.idempotent)
