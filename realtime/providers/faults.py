"""What went wrong upstream, in our words: foreign exceptions, statuses and in-band errors to rows of the error table.

A provider's own text can echo a key, a header or a prompt. It goes to the server's log, redacted and shortened, and
nowhere else: the error that leaves this module is made of the table's sentence and an HTTP status.
"""

import logging
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import anthropic
import httpx2
import openai

from ..errors import ERRORS, RealtimeError

_logger = logging.getLogger("realtime")

_LOGGED_CHARS = 500
_MAX_RETRY_AFTER_S = 86_400.0

STATUS_CODES = {
    401: "upstream_auth",
    402: "upstream_rate_limited",
    403: "upstream_auth",
    404: "upstream_not_found",
    408: "upstream_overloaded",
    425: "upstream_overloaded",
    429: "upstream_rate_limited",
    499: "upstream_unreachable",
}

# Words of both APIs and of the servers that speak like them, in `error.type` or `error.code`.
IN_BAND_CODES = {
    "authentication_error": "upstream_auth",
    "invalid_api_key": "upstream_auth",
    "permission_error": "upstream_auth",
    "permission_denied": "upstream_auth",
    "not_found_error": "upstream_not_found",
    "model_not_found": "upstream_not_found",
    "invalid_request_error": "upstream_invalid",
    "request_too_large": "upstream_invalid",
    "context_length_exceeded": "upstream_invalid",
    "content_policy_violation": "upstream_invalid",
    "rate_limit_error": "upstream_rate_limited",
    "rate_limit_exceeded": "upstream_rate_limited",
    "insufficient_quota": "upstream_rate_limited",
    "billing_error": "upstream_rate_limited",
    "overloaded_error": "upstream_overloaded",
    "timeout_error": "upstream_overloaded",
    "api_error": "upstream_overloaded",
    "server_error": "upstream_overloaded",
}

# The first row that fits anything in the chain of causes. The SDKs' aiohttp transport reports every connection error
# but some as a connect timeout, so what aiohttp itself raised is asked first.
EXCEPTION_CODES: tuple[tuple[type[BaseException], str], ...] = (
    (aiohttp.ConnectionTimeoutError, "timeout_connect"),
    (aiohttp.SocketTimeoutError, "timeout_first_event"),
    (aiohttp.ClientPayloadError, "upstream_truncated"),
    (aiohttp.ClientResponseError, "upstream_protocol"),
    (aiohttp.ClientConnectionError, "upstream_unreachable"),
    (httpx2.ConnectTimeout, "timeout_connect"),
    (httpx2.PoolTimeout, "timeout_connect"),
    (httpx2.TimeoutException, "timeout_first_event"),
    (httpx2.DecodingError, "upstream_protocol"),
    (httpx2.RemoteProtocolError, "upstream_truncated"),
    (httpx2.UnsupportedProtocol, "upstream_unreachable"),
    (httpx2.TransportError, "upstream_unreachable"),
    (openai.APIResponseValidationError, "upstream_protocol"),
    (anthropic.APIResponseValidationError, "upstream_protocol"),
    (TimeoutError, "timeout_first_event"),
    (OSError, "upstream_unreachable"),
)

# Servers that only pass errors on give the status they met as the code.
_STATUS = re.compile(r"[45]\d\d", re.ASCII)


@contextmanager
def mapped(secret: str) -> Iterator[None]:
    """Let nothing but `RealtimeError` out; `secret` is kept out of the log."""
    try:
        yield
    except RealtimeError:
        raise
    except Exception as exc:  # noqa: BLE001
        # `from None`: a traceback that shows the cause would show the provider's text with it.
        raise from_exception(exc, secret) from None


def from_exception(exc: Exception, secret: str) -> RealtimeError:
    """The error for an exception of an SDK or of the HTTP stack under it."""
    if isinstance(exc, openai.APIStatusError | anthropic.APIStatusError):
        _log(f"HTTP {exc.status_code}: {exc.response.text}", secret)
        return from_status(exc.status_code, exc.response.headers)
    chain = list(_causes(exc))
    for kind, code in EXCEPTION_CODES:
        if any(isinstance(cause, kind) for cause in chain):
            _log(_told(chain), secret)
            return RealtimeError(code)
    _log(f"unforeseen: {_told(chain)}", secret)
    return RealtimeError("internal")


def from_status(status: int, headers: Mapping[str, str]) -> RealtimeError:
    """The error for an HTTP status that is not a success."""
    code = STATUS_CODES.get(status) or _by_class(status)
    title = ERRORS[code].title
    return RealtimeError(code, f"{title} (HTTP {status}).", retry_after_s=retry_after_s(headers))


def from_in_band(error: Any, secret: str) -> RealtimeError:
    """The error for an `error` object inside a stream that had begun well."""
    _log(f"in-band error: {error}", secret)
    words = [str(error.get(key)) for key in ("code", "type")] if isinstance(error, dict) else []
    for word in words:
        if _STATUS.fullmatch(word):
            return from_status(int(word), {})
        if word in IN_BAND_CODES:
            return RealtimeError(IN_BAND_CODES[word])
    return RealtimeError("upstream_overloaded")


def from_garbage(what: str, data: bytes, secret: str) -> RealtimeError:
    """The error for bytes that are none of the provider's protocol; `what` is our sentence about them."""
    _log(f"{what} {data.decode(errors='replace')}", secret)
    return RealtimeError("upstream_protocol", what)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds a provider asks to wait, from `retry-after-ms` or `retry-after`; None for what makes no sense."""
    try:
        if "retry-after-ms" in headers:
            seconds = float(headers["retry-after-ms"]) / 1000
        else:
            seconds = float(headers["retry-after"])
    except KeyError:
        return None
    except ValueError:
        seconds = _until(headers.get("retry-after", ""))
    return min(seconds, _MAX_RETRY_AFTER_S) if math.isfinite(seconds) and seconds >= 0 else None


def redact(text: str, secret: str) -> str:
    """A provider's text without the key we sent it, whole or in part, or anything that looks like one."""
    if secret:
        text = text.replace(secret, "[redacted]")
    return _KEY_LIKE.sub("[redacted]", text)


_KEY_LIKE = re.compile(
    r"(?i:authorization|x-api-key|api[-_]key)[\"']?\s*[:=]\s*[\"']?(?:(?i:bearer|basic)\s+)?[^\s\"',;}]+"
    r"|(?i:bearer|basic)\s+[^\s\"',;}]+"
    r"|\b(?:sk|pk|rk|gsk|xai)-[^\s\"',;}]{4,}"
)


def _log(text: str, secret: str) -> None:
    # Redacted before it is cut, or a key at the edge would survive in half. %r keeps a line one line.
    _logger.warning("provider failed: %r", redact(text, secret)[:_LOGGED_CHARS])


def _causes(exc: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = exc
    while seen is not None:
        yield seen
        seen = seen.__cause__


def _told(chain: Sequence[BaseException]) -> str:
    """The types, and each text once: a wrapped exception mostly says what its cause said."""
    return f"{' <- '.join(type(cause).__name__ for cause in chain)}: {'; '.join(dict.fromkeys(map(str, chain)))}"


def _by_class(status: int) -> str:
    if status >= 500:
        return "upstream_overloaded"
    return "upstream_invalid" if status >= 400 else "upstream_protocol"


def _until(date: str) -> float:
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - time.time())
    except (ValueError, OverflowError):
        return math.nan
