"""The least that fan-out in Python can cost: a loop that writes ready-made bytes to every transport.

The bytes are those our SSE wire would send, in HTTP chunks. There is no HTTP server, no task per connection, no log,
no resume; whatever a server costs beyond this is the price of being one.
"""

import asyncio
import sys
from typing import cast

import uvloop

from benchmarks.stamps import paced, until
from realtime.events import Entry, Text
from transports.sse import SSE

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class _Connection(asyncio.Protocol):
    """One observer; any request will do."""

    def __init__(self, observers: dict[asyncio.Transport, None]) -> None:
        self._observers = observers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:  # noqa: ARG002 - a protocol's signature
        self._transport.write(_HEAD)
        self._observers[self._transport] = None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - a protocol's signature
        self._observers.pop(self._transport, None)


async def _serve(port: int, observers: int, rate: float, seconds: float) -> None:
    transports: dict[asyncio.Transport, None] = {}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(transports), "127.0.0.1", port, backlog=2048)
    async with server:
        await until(lambda: len(transports) >= observers)
        seq = 0
        async for token in paced(rate, seconds):
            seq += 1
            frame = SSE.frame("mfw8j3k2", Entry(seq, seq, Text(token)))
            data = b"%x\r\n%b\r\n" % (len(frame), frame)
            for transport in list(transports):
                transport.write(data)


def main() -> None:
    """Serve until the last token."""
    port, observers, rate, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    uvloop.run(_serve(port, observers, rate, seconds))


if __name__ == "__main__":
    main()
