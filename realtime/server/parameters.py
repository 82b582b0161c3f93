"""Names and numbers from paths, queries and headers, checked."""

import re

from realtime.errors import RealtimeError
from realtime.request import CONVERSATION_FORM
from transports.asgi import Scope, header
from transports.commands import IDEMPOTENCY_KEY_FORM

# A conversation may be waited for this long before its first byte; proxies give up at about a minute.
MAX_WAIT_S = 60


def conversation_name(name: str) -> str:
    """Check a conversation's name from a path; raises `bad_request`."""
    if re.fullmatch(CONVERSATION_FORM.strip("^$"), name, re.ASCII) is None:
        raise RealtimeError("bad_request", "A conversation is named by [A-Za-z0-9._:-]{1,128}.", field="conversation")
    return name


def idempotency_key(scope: Scope) -> str | None:
    """The `Idempotency-Key` of a request; raises `bad_request`."""
    key = header(scope, b"idempotency-key")
    if key is not None and re.fullmatch(IDEMPOTENCY_KEY_FORM.strip("^$"), key, re.ASCII) is None:
        raise RealtimeError(
            "bad_request",
            "Idempotency-Key is 1 to 255 printable ASCII characters without a space.",
            field="Idempotency-Key",
            limit=255,
        )
    return key


def flag(values: dict[str, str], name: str) -> bool:
    """A query parameter that is 0 or 1; raises `bad_request`."""
    value = values.get(name, "0")
    if value not in ("0", "1"):
        raise RealtimeError("bad_request", f"{name} is 0 or 1.", field=name)
    return value == "1"


def seconds(values: dict[str, str], name: str) -> int:
    """A query parameter in whole seconds, at most `MAX_WAIT_S`; raises `bad_request`."""
    value = values.get(name, "0")
    if not (value.isascii() and value.isdigit() and len(value) <= 3 and int(value) <= MAX_WAIT_S):
        raise RealtimeError(
            "bad_request", f"{name} is a whole number of seconds, at most {MAX_WAIT_S}.", field=name, limit=MAX_WAIT_S
        )
    return int(value)
