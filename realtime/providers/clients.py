"""OpenAI's client as both of its APIs want it, and the HTTP below every SDK.

That is our own transport, but where a proxy stands between: httpx2's knows tunnels and SOCKS.
"""

import ssl
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx2
import openai

from .address import split_credentials
from .http import KEEPALIVE_S, Transport, proxied
from .refused import bound

_OPENAI_URL = "https://api.openai.com/v1"
# The SDK demands a key; a local server does not. Never the environment's: it belongs to OpenAI, not to that server.
_NO_KEY = "unused"


def openai_client(
    api_key: str | None, base_url: str | None, *, max_connections: int, api_version: str | None = None
) -> openai.AsyncOpenAI:
    """A client that tries nothing again, and reads nothing of the environment for another server than OpenAI's.

    Args:
        base_url: Of a compatible server; OpenAI's own when None. A user and password in it are sent, in place of the
            key: a request has one Authorization header, and who wrote them there has a proxy that wants them.
        api_version: `base_url` is an endpoint of Azure's, and this the version of its API.
    """
    url, credentials = split_credentials(base_url or _OPENAI_URL)
    given: dict[str, Any] = {
        "api_key": api_key or _NO_KEY,
        "max_retries": 0,
        "default_headers": {"Accept-Encoding": "identity", **credentials},
        "http_client": openai.DefaultAsyncHttpxClient(**http_options(url, max_connections)),
    }
    client: openai.AsyncOpenAI
    if api_version is None:
        client = openai.AsyncOpenAI(base_url=url, **given)
    else:
        client = openai.AsyncAzureOpenAI(azure_endpoint=url, api_version=api_version, **given)
    if base_url is not None:
        # The SDK takes them from the environment, and they are nobody else's business.
        client.organization = client.project = None
    return client


def http_options(url: str, max_connections: int) -> dict[str, Any]:
    """What to make an SDK's default client with, which adds what it wants of timeouts and sockets.

    Redirects are not followed: a key would go with them. Nor are cookies kept: no model API needs one, and what one
    answer sets would go with the requests of everybody else, and grow with every answer.
    """
    options: dict[str, Any] = {
        "follow_redirects": False,
        "event_hooks": {"response": [bound]},
        "cookies": CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    }
    if proxied(url):
        limits = httpx2.Limits(max_connections=max_connections, keepalive_expiry=KEEPALIVE_S)
        return options | {"limits": limits}
    transport = Transport(max_connections=max_connections, context=_context())
    return options | {"transport": transport}


@cache
def _context() -> ssl.SSLContext:
    """One for all: reading the authorities takes 20 ms and half a megabyte."""
    return httpx2.create_ssl_context()
