"""What a response begins with, as one write.

Head, reconnection time, position and the first slice are four writes, and each wakes the peer: a tenth of what it costs
to show a log to one who joins late. The head has to pass uvicorn, so they meet at the transport.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

# Together with the slice that goes past it, no more than a slow peer may make this process hold anyway.
_HELD_BYTES = 4096


class FirstWrite(asyncio.Transport):
    """Stands before a response's transport, until what is written in one turn of the loop has been.

    It is gone before the second turn, so nothing that streams is held back or pays for it.
    """

    __slots__ = ("_cycle", "_parts", "_size", "_transport")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._transport = cycle.transport
        self._parts: list[Any] = []
        self._size = 0
        cycle.transport = self

    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        """Keep it for this turn, but not much of it."""
        if not self._parts:
            asyncio.get_running_loop().call_soon(self.flush)
        self._parts.append(data)
        self._size += len(data)
        if self._size > _HELD_BYTES:
            self.flush()

    def close(self) -> None:
        """Close the transport behind what was written."""
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether anybody has closed it."""
        return self._transport.is_closing()

    def flush(self) -> None:
        """Write, and step aside; harmless when repeated."""
        self._cycle.transport = self._transport
        parts, self._parts = self._parts, []
        if parts and not self.is_closing():
            self._transport.write(b"".join(parts))
