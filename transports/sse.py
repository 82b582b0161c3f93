"""Server-sent events: `id:`, `event:` and one line of `data:`.

An event's frame is made by hand, because there is one for every token. What is not hot goes through sse-starlette's
`ServerSentEvent`, which is also the oracle that the tests hold the hand-made frame to.
"""

from collections.abc import Sequence

import uvicorn

from realtime.events import PHASES, Entry

from .codec import Control, Position, json_line

# Importing sse-starlette replaces uvicorn's signal handler by one that cuts every open stream (its `sse.py`, end of
# file). We want its formatter, not its opinion on shutdown; uvicorn is imported here for nothing else.
_handle_exit = uvicorn.Server.handle_exit
from sse_starlette.event import ServerSentEvent  # noqa: E402 - the patch must be undone around exactly this import

uvicorn.Server.handle_exit = _handle_exit  # type: ignore[method-assign]


def _around(tag: str) -> tuple[bytes, bytes, int]:
    """What stands between an event's id, its id and its time, and how much of its own encoding they have said."""
    kind = f'"type":"{tag}"'
    return f'\nevent: {tag}\ndata: {{"id":"'.encode(), f'",{kind},"at":'.encode(), len(kind) + 1


_AROUND = {kind: _around(str(kind.__struct_config__.tag)) for kind in PHASES}


class Sse:
    """The `sse` wire."""

    name = "sse"
    content_type = b"text/event-stream; charset=utf-8"
    breaks_on_failure = False

    def frame(self, epoch: str, entry: Entry, /) -> bytes:
        # As `event_json`, in one piece: a string for its head and a sum of both take twice as long.
        event = entry.event
        before, between, said = _AROUND[type(event)]
        cursor = f"{epoch}-{entry.seq}".encode()
        return b"id: %b%b%b%b%d%b\n\n" % (cursor, before, cursor, between, entry.at, json_line(event)[said:])

    def join(self, generation: str, frames: Sequence[bytes], /) -> bytes:  # noqa: ARG002 - the stream names it
        return b"".join(frames)

    def preamble(self, retry_ms: int) -> bytes:
        return ServerSentEvent(retry=retry_ms, sep="\n").encode()

    def control(self, frame: Control) -> bytes:
        # Only a position has an id: the place the observer holds, so that a reconnect after it asks for the same.
        cursor = frame.cursor if isinstance(frame, Position) else None
        kind = str(frame.__struct_config__.tag)
        return ServerSentEvent(data=json_line(frame).decode(), event=kind, id=cursor, sep="\n").encode()


SSE = Sse()
