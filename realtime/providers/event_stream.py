"""Server-sent events from a provider's bytes, however the network cut them.

Lines end at LF, CRLF or CR and nowhere else: a splitter made for text also breaks at U+2028 and its like, which JSON
may hold. It works on bytes, so a character cut in two is no case of its own. Of a stream's fields only `event` and
`data` matter to a caller of a model; an `id` or `retry` of an upstream means nothing to a generation that is not
resumed there. A comment makes no event, but the read that brought it was a sign of life all the same.
"""

from typing import NamedTuple

from ..errors import RealtimeError

# The largest event anyone means is a whole picture in base64, and a PNG of 2048 by 2048 pixels is 5 MiB of that at
# worst. The SDKs have no limit, which is a limit of this process's memory.
MAX_EVENT_BYTES = 8 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"


class ServerEvent(NamedTuple):
    """One event as it came; `name` is empty when the stream gave none."""

    name: bytes
    data: bytes


class Splitter:
    """Turns chunks of one stream into its events. After the last chunk, what is left was never a whole event."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._started = False
        self._after_cr = False

    @property
    def rest(self) -> bytes:
        """What came and is not a whole event yet."""
        return bytes(self._rest)

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """Take the next bytes and give the events they complete.

        Raises:
            RealtimeError: `upstream_protocol` when an event is larger than `MAX_EVENT_BYTES`.
        """
        if self._after_cr or b"\r" in chunk:
            chunk = self._with_plain_newlines(chunk)
        rest = self._rest
        if rest or not self._started:
            rest += chunk
            if not self._started and not self._start():
                return []
            # Only the seam is new to the search: an event that comes in a thousand pieces is not searched as often.
            end = rest.rfind(b"\n\n", max(0, len(rest) - len(chunk) - 1))
            complete = bytes(rest[: max(end, 0)])
            del rest[: end + 2 if end >= 0 else 0]
        else:
            end = chunk.rfind(b"\n\n")
            complete = chunk[: max(end, 0)]
            rest += chunk[end + 2 if end >= 0 else 0 :]
        if len(rest) > MAX_EVENT_BYTES:
            raise _too_large()
        return _events(complete) if end >= 0 else []

    def _start(self) -> bool:
        """Drop a byte order mark at the start, once enough has come to tell."""
        if _BOM.startswith(self._rest) and len(self._rest) < len(_BOM):
            return False
        if self._rest.startswith(_BOM):
            del self._rest[: len(_BOM)]
        self._started = True
        return True

    def _with_plain_newlines(self, chunk: bytes) -> bytes:
        """A CR ends its line at once, so the LF that may follow it in the next chunk is not another line's end."""
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if chunk.endswith(b"\r"):
            self._after_cr = True
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _events(complete: bytes) -> list[ServerEvent]:
    events = []
    for block in complete.split(b"\n\n"):
        if len(block) > MAX_EVENT_BYTES:
            raise _too_large()
        if block.startswith(b"data: ") and b"\n" not in block:
            events.append(ServerEvent(b"", block[6:]))
        elif (event := _parse(block)) is not None:
            events.append(event)
    return events


def _parse(block: bytes) -> ServerEvent | None:
    name, data = b"", []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    return ServerEvent(name, b"\n".join(data)) if data else None


def _too_large() -> RealtimeError:
    limit = MAX_EVENT_BYTES // 1024 // 1024
    return RealtimeError("upstream_protocol", f"The provider sent an event larger than {limit} MiB.", limit=limit)
