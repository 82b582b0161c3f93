"""Where connections lead to."""

from typing import NamedTuple

import httpx2

_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """Requests to the same one may share a connection."""

    secure: bool
    host: str
    port: int

    @classmethod
    def of(cls, url: httpx2.URL) -> "Origin":
        """That of `url`.

        Raises:
            httpx2.UnsupportedProtocol: It is neither `http` nor `https`.
        """
        if not url.scheme:
            raise httpx2.UnsupportedProtocol("Request URL is missing an 'http://' or 'https://' protocol.")
        if url.scheme not in _PORTS:
            raise httpx2.UnsupportedProtocol(f"Request URL has an unsupported protocol '{url.scheme}://'.")
        host = url.raw_host.decode("ascii")
        return cls(url.scheme == "https", host, url.port or _PORTS[url.scheme])
