"""The way from a pump to its peer, and the short way that a server may offer for it."""

from typing import Protocol

from realtime.frames import Envelope

# Where a server leaves its offer in `scope["extensions"]`.
SHORT_WAY = "realtime.short_way"


class ShortWay(Protocol):
    """Writes straight to a connection: no coroutine, and what a thousand peers get is made once.

    What goes this way passes by every ASGI middleware. So it is taken only once a body was seen to come through them
    all as it is, by comparing what was sent with what `arrived`; one that compresses is then never passed by.

    Attributes:
        arrived: The payload of the last ASGI message that reached the server.
    """

    arrived: object

    def envelope(self, *, text: bool) -> Envelope | None:
        """What a slice must be put in; None when this connection takes nothing this way."""
        ...

    def put(self, data: bytes) -> bool:
        """Write an enveloped slice; False, and nothing is written, when the peer has to be waited for or has gone."""
        ...

    async def drain(self) -> None:
        """Return when the peer has read what waits for it, or has gone."""
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
        """Return when the peer reads. What is taken before that may wait in memory for as long as the peer likes."""
        ...

    async def write(self, data: bytes) -> None:
        """Send bytes without their envelope; waits while the peer does not read. Raises `OSError` when it has gone."""
        ...


class Passage:
    """Whether a connection's short way may be taken, found out by its first write.

    Args:
        offered: What the server left in the scope, if anything.
        text: Whether slices are text messages; of no meaning where there are no messages.
    """

    __slots__ = ("_offered", "_text")

    def __init__(self, offered: ShortWay | None, *, text: bool) -> None:
        self._offered = offered
        self._text = text

    def proved_by(self, payload: bytes | str) -> ShortWay | None:
        """The short way, if `payload`, which was just sent through ASGI, came through as it is."""
        offered = self._offered
        if offered is None or not payload:
            return None
        self._offered = None
        return offered if offered.arrived is payload and offered.envelope(text=self._text) is not None else None
