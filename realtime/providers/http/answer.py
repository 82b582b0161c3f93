"""One response, parsed as it comes: bytes in, head and pieces of body out. It knows nothing of sockets."""

import httptools
import httpx2

# Of a head, and of whatever else comes without a byte of body: interim responses, trailers, extensions of chunks. It is
# what h11, and so the stock transport, allows an event to be.
MAX_HEAD_BYTES = 100 * 1024

_NO_RESPONSE = "Server disconnected without sending a response."
_TOO_LONG = "Receive buffer too long"
_CUT_SHORT = "peer closed connection without sending complete message body"


class EarlyEndError(httpx2.RemoteProtocolError):
    """The connection was closed before the answer was whole; whatever else its base stands for is a fault of form."""


class Answer:
    """What one request is answered with.

    Framing that two readers could take differently is refused, not repaired: a folded header, two lengths, a length
    beside `Transfer-Encoding`, a coding besides `chunked`.

    Attributes:
        status: Of the final response; 0 until its head is whole. Interim responses are passed over.
        headers: As they came, in their order.
        reason: The phrase behind the status.
        version: `HTTP/1.1` or `HTTP/1.0`.
        complete: The body is whole.
        reusable: The connection may be used again once it is complete.
        error: Why it will never be complete.
        touched: A byte of it has come.
    """

    def __init__(self, method: str) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.reason = b""
        self.version = b""
        self.complete = False
        self.reusable = False
        self.error: httpx2.RemoteProtocolError | None = None
        self.touched = False
        self._bodiless = method == "HEAD"
        self._until_close = False
        self._headed = self._silent = 0
        self._pieces: list[bytes] = []
        # The parser calls the list itself: no frame of Python for a chunk.
        self.on_body = self._pieces.append
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes of the connection and give what they hold of the body, of several chunks as one.

        What is no HTTP sets `error`; what follows a complete response makes its connection unfit to be used again.
        """
        if self._parser is None:
            self.reusable = False
            return b""
        self.touched = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fault(str(error))
        pieces = self._pieces
        if not pieces:
            self._silent += len(data)
            piece = b""
            if self._silent > MAX_HEAD_BYTES:
                self._fault(_TOO_LONG)
        elif len(pieces) == 1:
            piece, self._silent = pieces.pop(), 0
        else:
            piece, self._silent = b"".join(pieces), 0
            pieces.clear()
        if self.complete or self.error is not None:
            self.drop()
            if self._bodiless and piece:
                self.reusable = False
                return b""
        return piece

    def end(self) -> None:
        """The connection has ended, in an orderly way."""
        if self._until_close and self.error is None:
            self.complete = True
        elif not self.complete:
            self._fault(_CUT_SHORT if self.status else _NO_RESPONSE, EarlyEndError)
        self.drop()

    def drop(self) -> None:
        """Nobody wants the rest. Break the cycle with the parser, which only the collector would."""
        self._parser = None

    def on_message_begin(self) -> None:
        """A second response where none was asked for stops the parser; an interim one has begun with less."""
        if self.complete:
            raise ValueError
        self.reason = b""

    def on_status(self, phrase: bytes) -> None:
        # A phrase that was cut comes in pieces.
        self.reason += phrase

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header; what comes behind the head is a trailer, and nobody asked for one."""
        self._headed += len(name) + len(value)
        if self._headed > MAX_HEAD_BYTES:
            self._fault(_TOO_LONG)
            raise ValueError
        if not self.status:
            # httptools strips what is before a value only.
            self.headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        parser = self._parser
        assert parser is not None
        status = parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self.headers.clear()
            return
        self.version = f"HTTP/{parser.get_http_version()}".encode()
        self._note_framing(status)
        if not 200 <= status < 1000 or self.version not in {b"HTTP/1.1", b"HTTP/1.0"}:
            # 101 is the answer to an upgrade, and this client never asks for one.
            self._fault(f"Unexpected {self.version.decode()} status {status}")
            raise ValueError
        self.status = status
        self.reusable = parser.should_keep_alive()
        self.complete = self._bodiless

    def on_message_complete(self) -> None:
        self.complete = self.complete or self.status != 0

    def _note_framing(self, status: int) -> None:
        framing = {name.lower(): value for name, value in self.headers}
        coding = framing.get(b"transfer-encoding")
        if coding is not None and coding.strip().lower() != b"chunked":
            self._fault("Transfer-Encoding other than chunked")
            raise ValueError
        unframed = coding is None and b"content-length" not in framing
        self._until_close = unframed and not self._bodiless and status not in {204, 304}

    def _fault(self, what: str, kind: type[httpx2.RemoteProtocolError] = httpx2.RemoteProtocolError) -> None:
        self.reusable = False
        if not self.complete and self.error is None:
            self.error = kind(what)
