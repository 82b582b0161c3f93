"""Every way a request or a generation can fail: one closed table, and the one exception that carries a row of it.

The table is the wire's vocabulary. `PROTOCOL.md` prints it and a test holds the two together, so a code that is not
here cannot reach a client. Foreign exceptions (SDKs, sockets, decoders) are mapped to a row where they enter, and
their own text stays in the server's log: a provider's message can echo keys and prompts.
"""

from typing import Literal, NamedTuple

import msgspec

Blame = Literal["client", "server", "upstream"]


class ErrorRow(NamedTuple):
    """One row of the table: the HTTP status it travels with, whether trying again can help, and whose fault it is."""

    status: int
    retryable: bool
    blame: Blame
    title: str


ERRORS: dict[str, ErrorRow] = {
    "bad_request": ErrorRow(400, False, "client", "The request is malformed or names something that is not allowed"),
    "bad_cursor": ErrorRow(400, False, "client", "The cursor is not of the form this server gives out"),
    "unauthorized": ErrorRow(401, False, "client", "Credentials are missing or wrong"),
    "forbidden": ErrorRow(403, False, "client", "The principal may not do this"),
    "not_found": ErrorRow(404, False, "client", "Nothing of that name is visible to the principal"),
    "method_not_allowed": ErrorRow(405, False, "client", "The route exists, the method does not"),
    "not_acceptable": ErrorRow(406, False, "client", "No wire matches the Accept header"),
    "timeout_body": ErrorRow(408, True, "client", "The request body did not arrive in time"),
    "not_finished": ErrorRow(409, True, "client", "The generation has not ended yet"),
    "conversation_busy": ErrorRow(409, True, "client", "The conversation already has an active generation"),
    "too_large": ErrorRow(413, False, "client", "The body, frame or prompt is over its limit"),
    "unsupported_media_type": ErrorRow(415, False, "client", "The body is not application/json"),
    "misdirected": ErrorRow(421, False, "client", "The Host or Origin is not one this server answers for"),
    "idempotency_mismatch": ErrorRow(422, False, "client", "The idempotency key was used with another body"),
    "limit_observations": ErrorRow(429, True, "client", "Too many observations on this socket"),
    "internal": ErrorRow(500, True, "server", "The server failed in a way it did not foresee"),
    "draining": ErrorRow(503, True, "server", "The server is shutting down and takes no new generations"),
    "overloaded": ErrorRow(503, True, "server", "The server has no room for another generation"),
    "bus_unavailable": ErrorRow(503, True, "server", "The log of record cannot be reached"),
    "bus_full": ErrorRow(503, True, "server", "The log of record is full"),
    "log_limit": ErrorRow(500, False, "server", "The generation is longer than one log may be"),
    "driver_lost": ErrorRow(500, True, "server", "The process that drove the generation died"),
    "worker_shutdown": ErrorRow(503, True, "server", "The process that drove the generation was shut down"),
    "timeout_connect": ErrorRow(504, True, "upstream", "The provider could not be connected to in time"),
    "timeout_first_event": ErrorRow(504, True, "upstream", "The provider sent no content in time"),
    "timeout_idle": ErrorRow(504, True, "upstream", "The provider fell silent"),
    "timeout_total": ErrorRow(504, False, "upstream", "The generation took longer than its total deadline"),
    "upstream_auth": ErrorRow(502, False, "upstream", "The provider refused this server's credentials"),
    "upstream_not_found": ErrorRow(502, False, "upstream", "The provider does not know the model"),
    "upstream_invalid": ErrorRow(502, False, "upstream", "The provider refused the request as invalid"),
    "upstream_rate_limited": ErrorRow(503, True, "upstream", "The provider's rate limit or quota is used up"),
    "upstream_overloaded": ErrorRow(503, True, "upstream", "The provider is overloaded or failing"),
    "upstream_unreachable": ErrorRow(502, True, "upstream", "The connection to the provider failed"),
    "upstream_protocol": ErrorRow(502, True, "upstream", "The provider sent something that is not its own protocol"),
    "upstream_truncated": ErrorRow(502, True, "upstream", "The provider's stream ended without its terminal event"),
}


class ErrorObject(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as every wire shows it: in problem documents, in WebSocket replies and in `finished.error`.

    Attributes:
        code: A key of `ERRORS`.
        message: One sentence that names what is wrong; never a secret, a prompt or a provider's raw text.
        retryable: Whether the same request can succeed later.
        field: Path of the offending field (`messages[0].content`), query parameter or header.
        limit: The limit that was passed, in the unit `message` names.
        retry_after_s: Seconds to wait before a retry.
        generation: The generation that stands in the way, for `conversation_busy`.
    """

    code: str
    message: str
    retryable: bool
    field: str | None = None
    limit: int | float | None = None
    retry_after_s: float | None = None
    generation: str | None = None


class RealtimeError(Exception):
    """The one exception of this library; its `error` may be shown to anyone.

    Args:
        code: A key of `ERRORS`; anything else is a bug and raises `KeyError` here, not later.
        message: See `ErrorObject`; the table's title when empty.
    """

    def __init__(
        self,
        code: str,
        message: str = "",
        *,
        field: str | None = None,
        limit: float | None = None,
        retry_after_s: float | None = None,
        generation: str | None = None,
    ) -> None:
        row = ERRORS[code]
        self.error = ErrorObject(
            code=code,
            message=message or row.title + ".",
            retryable=row.retryable,
            field=field,
            limit=limit,
            retry_after_s=retry_after_s,
            generation=generation,
        )
        super().__init__(f"{code}: {self.error.message}")

    @property
    def code(self) -> str:
        return self.error.code

    @property
    def status(self) -> int:
        """The HTTP status this error travels with."""
        return ERRORS[self.error.code].status
