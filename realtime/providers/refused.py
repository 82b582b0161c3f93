"""The body of a response that is a refusal, as much of it as anyone needs.

The SDKs read it whole, to make an exception of it, before they say what the status was. A server that sends it for ever
would have all the memory there is, and one that falls silent in it would be waited for as if it were a model at work.
"""

import asyncio
from collections.abc import AsyncIterator

import httpx2

# Error objects have a few hundred bytes, a proxy's page of HTML a few thousand.
MAX_REFUSAL_BYTES = 64 * 1024
# The status is known already, and says nearly all there is to know.
PATIENCE_S = 2.0


class _Refusal(httpx2.AsyncByteStream):
    """The beginning of a body, given as if it were all; a fault behind the head is its end too."""

    def __init__(self, body: httpx2.AsyncByteStream) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left, until = MAX_REFUSAL_BYTES, asyncio.get_running_loop().time() + PATIENCE_S
        pieces = aiter(self._body)
        try:
            while left > 0:
                async with asyncio.timeout_at(until):
                    piece = await anext(pieces)
                yield piece[:left]
                left -= len(piece)
        except (StopAsyncIteration, TimeoutError, httpx2.TransportError):
            return

    async def aclose(self) -> None:
        await self._body.aclose()


async def bound(response: httpx2.Response) -> None:
    """Make `response` end early, should it be a refusal; a hook for `httpx2.AsyncClient`."""
    if not response.is_success and isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Refusal(response.stream)
