"""Server-sent events, decoded as they come: bytes in, events out, by the rules of the HTML standard.

On bytes, because the standard's three line ends (LF, CR, CRLF) are ASCII and a decoder of text would also cut at
U+2028 or in the middle of a character. `data` stays bytes: whoever decodes it wants them.
"""

import re
from typing import NamedTuple

MAX_EVENT_BYTES = 64 * 2**20

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class SseEvent(NamedTuple):
    """One dispatched event.

    Attributes:
        event: Its type, `message` when the stream named none.
        id: The last event id the stream has given so far, here or earlier; empty when none.
        data: The `data` lines, joined by LF.
    """

    event: str
    id: str
    data: bytes


class SseDecoder:
    """Takes chunks cut anywhere.

    Attributes:
        retry_ms: The last reconnection time the stream asked for. Not part of an event, since a block that holds
            nothing else dispatches none.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._pieces: list[bytes] = []
        self._held = 0
        self._after_cr = False
        self._begun = False
        self._event = ""
        self._id = ""
        self._data: list[bytes] = []
        self.retry_ms: int | None = None

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """Return the events that `chunk` completes.

        Raises:
            ValueError: An event is longer than any can be.
        """
        events = []
        for line in self._lines(chunk):
            if line:
                self._field(line)
                continue
            if self._data:
                events.append(SseEvent(self._event or "message", self._id, b"\n".join(self._data)))
            self._event, self._data = "", []
            self._held = len(self._pieces[0])
        if self._held > self._max:
            raise ValueError(f"an event is longer than {self._max} bytes")
        return events

    def _lines(self, chunk: bytes) -> list[bytes]:
        if not chunk:
            return []
        if self._after_cr and chunk.startswith(b"\n"):
            # The second half of a CRLF whose CR, which ended the line, was the last byte of the chunk before.
            chunk = chunk[1:]
        self._after_cr = chunk.endswith(b"\r")
        self._held += len(chunk)
        first, *rest = _LINE_END.split(chunk)
        self._pieces.append(first)
        if not rest:
            return []
        lines = [b"".join(self._pieces), *rest[:-1]]
        self._pieces = [rest[-1]]
        if not self._begun:
            self._begun = True
            lines[0] = lines[0].removeprefix(_BOM)
        return lines

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"data":
                self._data.append(value)
            case b"event":
                self._event = value.decode(errors="replace")
            case b"id" if b"\0" not in value:
                self._id = value.decode(errors="replace")
            case b"retry" if value.isdigit() and len(value) < 10:
                self.retry_ms = int(value)
