"""The least that resuming can cost: `floor`, and a list of what was sent to go on from.

A request's `Last-Event-ID` is an index into the list; what is past it goes out as one write, and then what comes.
`POST` tells everyone that it is over. There is no HTTP server, no task per connection, no bound, no second generation.
"""

import asyncio
import re
import sys
from typing import cast

import uvloop

from benchmarks.stamps import paced, until
from realtime.events import Entry, Text
from transports.sse import SSE

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_DONE = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
_EPOCH = "mfw8j3k2"
_CURSOR = re.compile(rb"[Ll]ast-[Ee]vent-ID: " + _EPOCH.encode() + rb"-(\d+)")
_OVER = b"event: finished\ndata: {}\n\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


class _Connection(asyncio.Protocol):
    """One observer, or one who stops."""

    def __init__(self, observers: dict[asyncio.Transport, None], log: list[bytes]) -> None:
        self._observers = observers
        self._log = log

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"POST"):
            for transport in list(self._observers):
                transport.write(_chunk(_OVER))
            self._transport.write(_DONE)
            return
        cursor = _CURSOR.search(data)
        seq = int(cursor[1]) if cursor else 0
        self._transport.write(_HEAD + _chunk(b"".join(self._log[seq:])))
        self._observers[self._transport] = None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - a protocol's signature
        self._observers.pop(self._transport, None)


async def _serve(port: int, observers: int, rate: float, seconds: float, wider: int) -> None:
    transports: dict[asyncio.Transport, None] = {}
    log: list[bytes] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(transports, log), "127.0.0.1", port, backlog=2048)
    async with server:
        await until(lambda: len(transports) >= observers)
        async for token in paced(rate, seconds):
            log.append(SSE.frame(_EPOCH, Entry(len(log) + 1, len(log) + 1, Text(token + "." * wider))))
            data = _chunk(log[-1])
            for transport in list(transports):
                transport.write(data)
        await asyncio.Event().wait()


def main() -> None:
    """Serve until killed."""
    port, observers, rate, seconds, *wider = sys.argv[1:]
    uvloop.run(_serve(int(port), int(observers), float(rate), float(seconds), int(wider[0]) if wider else 0))


if __name__ == "__main__":
    main()
