"""The way from a pump to its peer, and the short way that a server may offer for it."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from realtime.frames import Envelope

from .asgi import Receive, Send

# Where a server leaves its offer in `scope["extensions"]`.
SHORT_WAY = "realtime.short_way"


class ShortWay(Protocol):
    """Past the application's stack, straight to a connection, for responses that last.

    A slice is written without a coroutine, and what a thousand peers get is made once. And the application may return
    while its response goes on: the frames of twenty middlewares that only wait take more memory than all the rest of an
    idle observer.

    Attributes:
        send: ASGI's, with nothing on the way.
        receive: The same.
        gone: Set by the application: called when the peer has gone.
        lost: Whether it has gone already.
    """

    send: Send
    receive: Receive
    gone: Callable[[], None] | None
    lost: bool

    def carry_on(self, rest: Callable[[], Awaitable[None]], ended: Callable[[], None]) -> None:
        """Run `rest` once the application has returned. `ended` is called after it, or when the application did not
        return but raised."""
        ...

    def envelope(self, *, text: bool) -> Envelope | None:
        """What a slice must be put in, as text or bytes where messages are one or the other; None when this connection
        takes slices by `send` alone."""
        ...

    def put(self, data: bytes) -> bool:
        """Write an enveloped slice; False, and nothing is written, when the peer has to be waited for or has gone."""
        ...

    async def drain(self) -> None:
        """Return when the peer has read what waits for it. Raises `OSError` when it has gone."""
        ...


class Sink(Protocol):
    """What a pump writes to.

    Attributes:
        envelope: What slices must be put in for `put`; None while the connection takes them by `write` alone.
    """

    envelope: Envelope | None

    def put(self, data: bytes) -> bool:
        """Write an enveloped slice now; False, and nothing is written, when that cannot be."""
        ...

    async def ready(self) -> None:
        """Return when the peer reads. What is taken before that may wait in memory for as long as the peer likes.

        Raises `OSError` when it has gone.
        """
        ...

    async def write(self, data: bytes) -> None:
        """Send bytes without their envelope; waits while the peer does not read. Raises `OSError` when it has gone."""
        ...
