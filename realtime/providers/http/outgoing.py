"""The bytes of a request, checked: what a header holds never becomes another header, nor a second request."""

import re
from collections.abc import AsyncGenerator

import httpx2

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(rb"[\x21-\x7e]+")
# RFC 9110 5.5, with the obsolete bytes above ASCII.
_VALUE = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?")


class Outgoing:
    """One request on its way.

    Attributes:
        head: Request line and headers.
        repeatable: The body can be sent a second time.
        idempotent: To ask twice is to ask once (RFC 9110 9.2.2).
        closing: The caller wants no other request on this connection.

    Raises:
        httpx2.LocalProtocolError: When it cannot be said in HTTP/1.1.
    """

    def __init__(self, request: httpx2.Request) -> None:
        self.method = request.method
        self._stream = request.stream
        self.repeatable = isinstance(request.stream, httpx2.ByteStream)
        self.idempotent = request.method in {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"}
        named = _checked(request.headers.raw)
        self.closing = b"close" in _words(named.get(b"connection", b""))
        self._length, self._chunked = _framing(named)
        method, target = request.method.encode(), request.url.raw_path
        if not _TOKEN.fullmatch(method) or method == b"CONNECT" or not _TARGET.fullmatch(target):
            raise httpx2.LocalProtocolError("Illegal method or target")
        lines = [b"%b: %b\r\n" % header for header in request.headers.raw]
        self.head = b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, b"".join(lines))

    async def pieces(self) -> AsyncGenerator[bytes]:
        """All bytes in order; the head comes with the body where that is one piece of bytes.

        Raises:
            httpx2.LocalProtocolError: When the body is not as long as the headers say.
        """
        head, left = self.head, self._length
        assert isinstance(self._stream, httpx2.AsyncByteStream)
        async for piece in self._stream:
            left -= len(piece)
            if left < 0 and not self._chunked:
                raise httpx2.LocalProtocolError("Too much data for declared Content-Length")
            # An empty chunk would be the last.
            if piece:
                yield head + (b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunked else piece)
                head = b""
        if left > 0 and not self._chunked:
            raise httpx2.LocalProtocolError("Too little data for declared Content-Length")
        if self._chunked:
            yield head + b"0\r\n\r\n"
        elif head:
            yield head


def _checked(headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    named: dict[bytes, bytes] = {}
    for name, value in headers:
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise httpx2.LocalProtocolError("Illegal header name or value")
        key = name.lower()
        if key in named and key in {b"host", b"content-length", b"transfer-encoding"}:
            raise httpx2.LocalProtocolError(f"Found multiple {key.decode()} headers")
        named[key] = value
    if b"host" not in named:
        raise httpx2.LocalProtocolError("Missing mandatory Host: header")
    return named


def _framing(named: dict[bytes, bytes]) -> tuple[int, bool]:
    """Length of the body, and whether it is told by its chunks instead."""
    length, coding = named.get(b"content-length"), named.get(b"transfer-encoding")
    if coding is not None:
        if coding.lower() != b"chunked" or length is not None:
            raise httpx2.LocalProtocolError("Transfer-Encoding other than chunked, or beside a Content-Length")
        return 0, True
    if length is not None and not re.fullmatch(rb"[0-9]{1,18}", length):
        raise httpx2.LocalProtocolError("Bad Content-Length")
    return int(length or 0), False


def _words(value: bytes) -> list[bytes]:
    return [word.strip().lower() for word in value.split(b",")]
