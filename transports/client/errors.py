"""How the client says that something did not work, by blame:

    ClientError
    ├── RefusedError      the server answered, and asking again would not help: `.error` is its error object
    ├── UnreachableError  no answer that holds, for as long as the client was told to try
    └── ProtocolError     what answers does not speak this protocol

`DroppedError` never leaves the package: it is a connection that ended and may be opened again.
"""

from http import HTTPStatus

import msgspec

from realtime.errors import ErrorObject

# What may be over by the next try; every other status from 300 up is final, whatever its body says.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class ClientError(Exception):
    """Root of everything the client raises on purpose."""


class RefusedError(ClientError):
    """The server said no, in the same words as on every wire.

    Attributes:
        error: The server's error object; its code may be one this version does not know.
        status: The HTTP status it came with; None for a reply on a WebSocket.
    """

    def __init__(self, error: ErrorObject, status: int | None = None) -> None:
        super().__init__(f"{error.code}: {error.message}")
        self.error = error
        self.status = status

    @property
    def code(self) -> str:
        return self.error.code


class UnreachableError(ClientError):
    """The server could not be reached, or no connection to it held, for too long; the cause is chained."""


class ProtocolError(ClientError):
    """The peer sent what this protocol has no meaning for."""


class DroppedError(Exception):
    """A connection that did not come about or broke.

    Attributes:
        wait_s: The least time after which the server wants to see the client again.
    """

    def __init__(self, why: str, *, wait_s: float = 0.0) -> None:
        super().__init__(why)
        self.wait_s = wait_s


def refusal(status: int, body: bytes, retry_after: str | None) -> RefusedError | DroppedError:
    """Read an HTTP answer that is not a success: what is final as an error, what may pass as a drop."""
    try:
        error = msgspec.json.decode(body, type=ErrorObject)
    except ValueError:
        # A proxy's page, not our server's document. Its text is not repeated: it may hold anything.
        error = ErrorObject(f"http_{status}", _sentence(status), status in _PASSING)
    if status not in _PASSING or not error.retryable:
        return RefusedError(error, status)
    dropped = DroppedError(f"{error.code}: {error.message}", wait_s=_wait_s(error, retry_after))
    dropped.__cause__ = RefusedError(error, status)
    return dropped


def _wait_s(error: ErrorObject, retry_after: str | None) -> float:
    if error.retry_after_s is not None:
        return max(0.0, error.retry_after_s)
    return float(retry_after) if retry_after is not None and retry_after.isascii() and retry_after.isdigit() else 0.0


def _sentence(status: int) -> str:
    try:
        return f"The server answered {status} {HTTPStatus(status).phrase}."
    except ValueError:
        return f"The server answered {status}."
