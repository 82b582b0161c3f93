"""One JSON object a line, control frames too: for programs."""

from collections.abc import Sequence

from realtime.events import Entry

from .codec import Control, event_json, json_line


class Ndjson:
    """The `ndjson` wire."""

    name = "ndjson"
    content_type = b"application/x-ndjson; charset=utf-8"
    breaks_on_failure = False

    def frame(self, epoch: str, entry: Entry, /) -> bytes:
        return event_json(epoch, entry) + b"\n"

    def join(self, generation: str, frames: Sequence[bytes], /) -> bytes:  # noqa: ARG002 - the stream names it
        return b"".join(frames)

    def preamble(self, retry_ms: int) -> bytes:  # noqa: ARG002 - a program has its own backoff
        return b""

    def control(self, frame: Control) -> bytes:
        return json_line(frame) + b"\n"


NDJSON = Ndjson()
