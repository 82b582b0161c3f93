"""The HTTP client that an SDK is given: over our transport, but where a proxy stands between over httpx2's own."""

import ssl
from functools import cache
from typing import Any

import httpx2

from .http import Transport, proxied

# uvicorn, and so vLLM and most local servers, closes idle connections after 5 s. A request must not meet that close
# on its way, because nobody repeats it.
_KEEPALIVE_S = 4.0


def http_options(url: str, max_connections: int) -> dict[str, Any]:
    """What to make an SDK's default client with, which adds what it wants of timeouts and sockets.

    Redirects are not followed: a key would go with them.
    """
    options: dict[str, Any] = {"follow_redirects": False}
    if proxied(url):
        limits = httpx2.Limits(max_connections=max_connections, keepalive_expiry=_KEEPALIVE_S)
        return options | {"limits": limits}
    transport = Transport(max_connections=max_connections, keepalive_s=_KEEPALIVE_S, context=_context())
    return options | {"transport": transport}


@cache
def _context() -> ssl.SSLContext:
    """One for all: reading the authorities takes 20 ms and half a megabyte."""
    return httpx2.create_ssl_context()
