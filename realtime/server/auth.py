"""Who is calling, told from the connection: one key for the server, or one anonymous principal on loopback."""

import hmac
from collections.abc import Awaitable, Callable

from realtime.errors import RealtimeError
from realtime.principal import ANONYMOUS, Principal
from transports.asgi import Scope, header

# Raises `unauthorized`. Given the ASGI scope, never a URL: a key does not belong where it is logged.
Authenticate = Callable[[Scope], Awaitable[Principal]]


async def anonymous(_scope: Scope) -> Principal:
    """Everyone is the same principal; for loopback and for an app that authenticates in front of this."""
    return ANONYMOUS


def bearer(key: str) -> Authenticate:
    """Require `Authorization: Bearer <key>`."""
    expected = key.encode()

    async def authenticate(scope: Scope) -> Principal:
        scheme, _, given = (header(scope, b"authorization") or "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode("latin-1"), expected):
            raise RealtimeError("unauthorized", "Send Authorization: Bearer <key>.", field="Authorization")
        return ANONYMOUS

    return authenticate
