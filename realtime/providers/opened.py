"""A request that was answered: of all that made it, what is still needed is the body."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from typing import Protocol

import httpx2

from .faults import mapped
from .http import Feed, body_of

Pour = Callable[[Feed], Awaitable[None]]
"""Gives the body to a feed as it comes, and returns at its end: by the connection itself where it is ours, in the task
that calls where it is not."""


class Response(Protocol):
    """What both SDKs give for a response whose body was not read."""

    http_response: httpx2.Response

    def iter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]: ...

    async def close(self) -> None: ...


Request = Callable[[], Awaitable[Response]]
"""Makes a request; to be called once."""


async def sent(request: AbstractAsyncContextManager[Response]) -> Response:
    """Make a request as the SDKs give it; the response is then for the caller to close."""
    return await request.__aenter__()


@asynccontextmanager
async def opened(request: Request) -> AsyncGenerator[Pour]:
    """Make the request and give its body; leaving closes it.

    How that fails says nothing about the answer, which was had or failed before.

    Raises:
        RealtimeError: There is no answer.
    """
    with mapped():
        response = await request()
    body = body_of(response.http_response)
    if body is None:
        try:
            yield partial(_pull, response)
        finally:
            with suppress(Exception):
                await response.close()
        return
    # Both hold the request, the whole prompt in it, and a dozen kilobytes of objects, as long as somebody holds them.
    del request, response
    try:
        yield body.push
    finally:
        body.close()


async def _pull(response: Response, feed: Feed) -> None:
    chunks = response.iter_bytes()
    try:
        async for chunk in chunks:
            waiting = feed(chunk)
            if waiting is not None:
                await waiting
    finally:
        # Here and now; left to the garbage collector it would cost a task of its own.
        if isinstance(chunks, AsyncGenerator):
            with suppress(Exception):
                await chunks.aclose()
