"""Publishes to Nchan from outside, which is how Nchan gets its messages: a POST for every token, connections kept.

    publisher <Nchan's port> <channels> <observers of each> <rate> <seconds>

One timer a millisecond serves the channels whose turn it is. Nothing waits for an answer, so a server that is slow does
not slow down what it is asked for; every token is stamped with the time it was due.
"""

import asyncio
import http.client
import json
import sys
import time
from typing import cast

import uvloop

from benchmarks.stamps import payload, until

_TICK_S = 0.001
_MOST_CONNECTIONS = 50


class _Connection(asyncio.Protocol):
    """Sends; what comes back is an account of the channel, and is dropped."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def publish(self, channel: int, seq: int, token: str) -> None:
        """Send the event that our own wires would."""
        body = b'{"id":"mfw8j3k2-%d","type":"text","at":%d,"text":"%b"}' % (seq, seq, token.encode())
        head = b"POST /publish/%05d HTTP/1.1\r\nHost: nchan\r\nContent-Length: %d\r\n\r\n" % (channel, len(body))
        self._transport.write(head + body)


def _observers(port: int, channel: int) -> int:
    """How many Nchan says a channel has."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", f"/publish/{channel:05d}", headers={"Accept": "text/json"})
        answer = connection.getresponse()
        return int(json.loads(answer.read())["subscribers"]) if answer.status == http.client.OK else 0
    finally:
        connection.close()


async def _publish(port: int, channels: int, observers: int, rate: float, seconds: float) -> None:
    # Observers come in order: where the last channel has all of its own, all are there.
    await until(lambda: _observers(port, channels - 1) >= observers)
    loop = asyncio.get_running_loop()
    wanted = range(min(channels, _MOST_CONNECTIONS))
    connections = [(await loop.create_connection(_Connection, "127.0.0.1", port))[1] for _ in wanted]
    period = max(1, round(1 / rate / _TICK_S))
    start = time.monotonic()
    for tick in range(int(seconds / _TICK_S)):
        due = start + tick * _TICK_S
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        token = payload(int(due * 1_000_000))
        for channel in range(tick % period, channels, period):
            connections[channel % len(connections)].publish(channel, tick // period, token)


def main() -> None:
    """Publish until the last token."""
    port, channels, observers = map(int, sys.argv[1:4])
    uvloop.run(_publish(port, channels, observers, float(sys.argv[4]), float(sys.argv[5])))


if __name__ == "__main__":
    main()
