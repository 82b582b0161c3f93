"""Two questions about a socket that only the kernel can answer, asked without touching what is in it."""

import select
import struct
import sys
from typing import Protocol


class Descriptor(Protocol):
    """The socket of a transport, asyncio's or uvloop's; its number is -1 once it is closed."""

    def fileno(self) -> int: ...


def readable(sock: Descriptor) -> bool:
    """Something has come, be it the end, that the loop has not seen yet."""
    if sock.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def unacknowledged(sock: Descriptor) -> int:
    """Bytes that were sent and that the peer's kernel has not said it has; 0 where that cannot be told.

    Acknowledgements count up and every segment carries one: what is not acknowledged once the peer's FIN is here had
    not come when the peer closed.
    """
    if sys.platform != "linux" or sock.fileno() < 0:
        return 0
    import fcntl  # noqa: PLC0415 - not everywhere
    import termios  # noqa: PLC0415

    size: int = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0]
    return size
