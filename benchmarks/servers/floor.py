"""The least that streaming from Python can cost: a loop that writes ready-made bytes to transports.

    floor <port> fanout <observers> <rate> <seconds>     one stream of tokens, each written to every transport
    floor <port> many <rate> <seconds>                   a stream of its own for every connection

The bytes are those our SSE wire would send, in HTTP chunks. There is no HTTP server, no log, no resume; a task only
where a stream of tokens needs one. Whatever a server costs beyond this is the price of being one.
"""

import asyncio
import sys
from collections.abc import Callable
from typing import cast

import uvloop

from benchmarks.stamps import paced, until
from realtime.events import Entry, Text
from transports.sse import SSE

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class _Connection(asyncio.Protocol):
    """One observer; any request will do."""

    def __init__(self, asked: Callable[[asyncio.Transport], None], left: Callable[[asyncio.Transport], None]) -> None:
        self._asked = asked
        self._left = left

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:  # noqa: ARG002 - a protocol's signature
        self._transport.write(_HEAD)
        self._asked(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - a protocol's signature
        self._left(self._transport)


def _chunk(seq: int, token: str) -> bytes:
    frame = SSE.frame("mfw8j3k2", Entry(seq, seq, Text(token)))
    return b"%x\r\n%b\r\n" % (len(frame), frame)


async def _fanout(port: int, observers: int, rate: float, seconds: float) -> None:
    transports: dict[asyncio.Transport, None] = {}

    def asked(transport: asyncio.Transport) -> None:
        transports[transport] = None

    def left(transport: asyncio.Transport) -> None:
        transports.pop(transport, None)

    loop = asyncio.get_running_loop()
    async with await loop.create_server(lambda: _Connection(asked, left), "127.0.0.1", port, backlog=2048):
        await until(lambda: len(transports) >= observers)
        seq = 0
        async for token in paced(rate, seconds):
            seq += 1
            data = _chunk(seq, token)
            for transport in list(transports):
                transport.write(data)


async def _many(port: int, rate: float, seconds: float) -> None:
    tasks: dict[asyncio.Transport, asyncio.Task[None]] = {}

    async def say(transport: asyncio.Transport) -> None:
        seq = 0
        async for token in paced(rate, seconds):
            seq += 1
            transport.write(_chunk(seq, token))

    def asked(transport: asyncio.Transport) -> None:
        tasks[transport] = asyncio.create_task(say(transport))

    def left(transport: asyncio.Transport) -> None:
        if transport in tasks:
            tasks.pop(transport).cancel()

    loop = asyncio.get_running_loop()
    async with await loop.create_server(lambda: _Connection(asked, left), "127.0.0.1", port, backlog=2048) as server:
        await server.serve_forever()


def main() -> None:
    """Serve until the last token, or until killed."""
    port, pattern, *rest = sys.argv[1:]
    if pattern == "many":
        uvloop.run(_many(int(port), float(rest[0]), float(rest[1])))
    else:
        uvloop.run(_fanout(int(port), int(rest[0]), float(rest[1]), float(rest[2])))


if __name__ == "__main__":
    main()
