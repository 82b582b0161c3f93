"""NDJSON, decoded as it comes: bytes in, whole lines out.

Lines end at LF alone. `str.splitlines` would also cut at U+2028, which JSON text may hold.
"""

# No single event can be near this: it is a stream that is not ours, and memory is not for it.
MAX_LINE_BYTES = 64 * 2**20


class NdjsonDecoder:
    """Takes chunks cut anywhere; holds back a line until its end has come."""

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._max = max_line_bytes
        self._pieces: list[bytes] = []
        self._held = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that `chunk` completes, without their ends and without blank ones.

        Raises:
            ValueError: A line is longer than any can be.
        """
        head, end, tail = chunk.rpartition(b"\n")
        if end:
            lines = b"".join((*self._pieces, head)).split(b"\n")
            self._pieces, self._held = [tail], len(tail)
        else:
            # Pieces are joined once, when the line ends: a long line in small chunks costs its length, not its square.
            lines = []
            self._pieces.append(tail)
            self._held += len(tail)
        if self._held > self._max:
            raise ValueError(f"a line is longer than {self._max} bytes")
        return [line for line in lines if line.strip()]
