"""The ASGI shapes every shell speaks, and the few things said of them more than once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from realtime.errors import ERRORS, RealtimeError
from realtime.strict import decode_json

from .codec import json_line

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

NO_STORE = (b"cache-control", b"no-store")


def header(scope: Scope, name: bytes) -> str | None:
    """The first header of that (lower-case) name."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value).decode("latin-1")
    return None


def query(scope: Scope, allowed: Iterable[str]) -> dict[str, str]:
    """The query string as a dict.

    Raises:
        RealtimeError: `bad_request` for a parameter that is unknown or repeated, or for malformed escapes.
    """
    known, values = set(allowed), {}
    try:
        pairs = parse_qsl(
            scope["query_string"].decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=32
        )
    except ValueError:
        raise RealtimeError("bad_request", "The query string is malformed.") from None
    for key, value in pairs:
        if key not in known:
            shown = key[:64]
            raise RealtimeError("bad_request", f"Unknown query parameter {shown!r}.", field=shown)
        if key in values:
            raise RealtimeError("bad_request", f"Query parameter {key!r} is given twice.", field=key)
        values[key] = value
    return values


async def read_json(scope: Scope, receive: Receive, *, limit_bytes: int, deadline_s: float) -> Any:
    """Read and decode a JSON body within a size and a time.

    Raises:
        RealtimeError: `unsupported_media_type`, `too_large`, `timeout_body`, `bad_request`.
        ConnectionResetError: The client left before the body was whole.
    """
    media = (header(scope, b"content-type") or "").partition(";")[0].strip().lower()
    if media != "application/json":
        raise RealtimeError("unsupported_media_type", "Content-Type must be application/json.", field="Content-Type")
    declared = header(scope, b"content-length") or "0"
    if declared.isdecimal() and int(declared) > limit_bytes:
        raise _too_large(limit_bytes)
    body = bytearray()
    try:
        async with asyncio.timeout(deadline_s):
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ConnectionResetError
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > limit_bytes:
                    raise _too_large(limit_bytes)
    except TimeoutError:
        raise RealtimeError("timeout_body", f"The body did not arrive within {deadline_s:g} s.") from None
    return decode_json(bytes(body))


def _too_large(limit_bytes: int) -> RealtimeError:
    return RealtimeError("too_large", f"The body is over {limit_bytes} bytes.", limit=limit_bytes)


def problem(error: RealtimeError) -> tuple[int, Headers, bytes]:
    """An error as an RFC 9457 problem document: status, headers, body."""
    shown = error.error
    document = {
        "type": "about:blank",
        "title": ERRORS[shown.code].title,
        "status": error.status,
        "detail": shown.message,
        **decode_json(json_line(shown)),
    }
    headers: Headers = [(b"content-type", b"application/problem+json"), NO_STORE]
    if shown.retry_after_s is not None:
        headers.append((b"retry-after", str(max(1, round(shown.retry_after_s))).encode()))
    if shown.code == "unauthorized":
        headers.append((b"www-authenticate", b"Bearer"))
    return error.status, headers, json_line(document)


async def disconnected(receive: Receive) -> None:
    """Return when the client has gone; its body was read, so nothing else can come."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def respond(send: Send, status: int, headers: Headers, body: bytes = b"") -> None:
    """Send a whole response."""
    length = (b"content-length", str(len(body)).encode())
    sized = headers if status in (204, 304) else [*headers, length]
    await send({"type": "http.response.start", "status": status, "headers": sized})
    await send({"type": "http.response.body", "body": body})
