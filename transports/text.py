"""The text of the answer and nothing else: for `curl`.

There is no room for an error in it, so a failed generation breaks the body instead of ending it.
"""

from collections.abc import Sequence

from realtime.events import Entry, Text

from .codec import Control


class PlainText:
    """The `text` wire."""

    name = "text"
    content_type = b"text/plain; charset=utf-8"
    breaks_on_failure = True

    def frame(self, epoch: str, entry: Entry, /) -> bytes:  # noqa: ARG002 - text carries no cursor
        return entry.event.text.encode() if isinstance(entry.event, Text) else b""

    def join(self, generation: str, frames: Sequence[bytes], /) -> bytes:  # noqa: ARG002 - the stream names it
        return b"".join(frames)

    def preamble(self, retry_ms: int) -> bytes:  # noqa: ARG002 - nothing but text
        return b""

    def control(self, frame: Control) -> bytes:  # noqa: ARG002 - nothing but text
        return b""


TEXT = PlainText()
