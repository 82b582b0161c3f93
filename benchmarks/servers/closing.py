"""A fake OpenAI that notes when each of its streams lost its reader.

A stream is known by its prompt. `GET` gives the notes: by prompt, the microsecond on the clock that all processes of
a machine share at which the connection was seen to be closed.
"""

import asyncio
import json
import sys
from typing import cast

import uvloop

from benchmarks.stamps import now_us, payload

from .upstream import chunk

_TICK_S = 0.001
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
_NOTES = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"


class _Stream(asyncio.Protocol):
    """One connection: a request in, an endless paced stream out."""

    def __init__(self, turns: list[set["_Stream"]], closed_us: dict[str, int]) -> None:
        self._turns = turns
        self._closed_us = closed_us
        self._received = b""
        self._turn: set[_Stream] = set()
        self._prompt: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        if head.startswith(b"GET"):
            notes = json.dumps(self._closed_us).encode()
            self._transport.write(_NOTES % (len(notes), notes))
            return
        try:
            asked = json.loads(body)
        except ValueError:
            return  # The rest is still to come.
        self._received, self._prompt = b"", asked["messages"][-1]["content"]
        self._transport.write(_HEAD)
        self._turn = min(self._turns, key=len)
        self._turn.add(self)
        self.say()

    def eof_received(self) -> None:
        self._note()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - a protocol's signature
        self._note()

    def say(self) -> None:
        """Send the next token."""
        data = chunk(payload(now_us()))
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _note(self) -> None:
        self._turn.discard(self)
        if self._prompt is not None:
            self._closed_us.setdefault(self._prompt, now_us())


async def _serve(port: int, rate: float) -> None:
    loop = asyncio.get_running_loop()
    turns: list[set[_Stream]] = [set() for _ in range(max(1, round(1 / rate / _TICK_S)))]
    closed_us: dict[str, int] = {}
    server = await loop.create_server(lambda: _Stream(turns, closed_us), "127.0.0.1", port, backlog=2048)
    async with server:
        start, n = loop.time(), 0
        while True:
            for stream in tuple(turns[n % len(turns)]):
                stream.say()
            n += 1
            await asyncio.sleep(max(0.0, start + n * _TICK_S - loop.time()))


def main() -> None:
    """Serve until killed."""
    uvloop.run(_serve(int(sys.argv[1]), float(sys.argv[2])))


if __name__ == "__main__":
    main()
