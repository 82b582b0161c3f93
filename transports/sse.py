"""Server-sent events: `id:`, `event:` and one line of `data:`.

An event's frame is made by hand, because there is one for every token. What is not hot goes through sse-starlette's
`ServerSentEvent`, which is also the oracle that the tests hold the hand-made frame to.
"""

from collections.abc import Sequence

import uvicorn

from realtime.events import PHASES, Entry

from .codec import Control, Position, json_line, json_parts

# Importing sse-starlette replaces uvicorn's signal handler by one that cuts every open stream (its `sse.py`, end of
# file). We want its formatter, not its opinion on shutdown; uvicorn is imported here for nothing else.
_handle_exit = uvicorn.Server.handle_exit
from sse_starlette.event import ServerSentEvent  # noqa: E402 - the patch must be undone around exactly this import

uvicorn.Server.handle_exit = _handle_exit  # type: ignore[method-assign]

_TYPES = {kind: str(kind.__struct_config__.tag) for kind in PHASES}


class Sse:
    """The `sse` wire."""

    name = "sse"
    content_type = b"text/event-stream; charset=utf-8"
    breaks_on_failure = False

    def frame(self, epoch: str, entry: Entry, /) -> bytes:
        head, rest = json_parts(epoch, entry)
        lines = f"id: {epoch}-{entry.seq}\nevent: {_TYPES[type(entry.event)]}\ndata: {head}"
        return lines.encode() + rest + b"\n\n"

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
