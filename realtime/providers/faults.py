"""What went wrong upstream, in our words: foreign exceptions, statuses and in-band errors to rows of the error table.

A provider's own text can echo a key, a header or a prompt, so it goes nowhere, not into the log either. The error that
leaves this module is made of the table's sentence and an HTTP status; the log also gets the words of a closed form that
a provider names its errors with. They travel as notes of the error, so that whoever drops it decides what is logged.
"""

import logging
import math
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai

from ..errors import ERRORS, RealtimeError
from .http import EarlyEndError

_logger = logging.getLogger("realtime")

_MAX_RETRY_AFTER_S = 86_400.0

# What both APIs and the servers that speak like them answer with; any other status goes by its class.
STATUS_CODES = {
    400: "upstream_invalid",
    401: "upstream_auth",
    402: "upstream_rate_limited",
    403: "upstream_auth",
    404: "upstream_not_found",
    408: "upstream_overloaded",
    # A conflict with another request, or a lock that was not had in time: both SDKs would ask again.
    409: "upstream_overloaded",
    413: "upstream_invalid",
    422: "upstream_invalid",
    424: "upstream_overloaded",
    425: "upstream_overloaded",
    429: "upstream_rate_limited",
    # Groq's, for a tier that has no room now.
    498: "upstream_overloaded",
    499: "upstream_unreachable",
    500: "upstream_overloaded",
    502: "upstream_overloaded",
    503: "upstream_overloaded",
    504: "upstream_overloaded",
    # Anthropic's.
    529: "upstream_overloaded",
}

# Words of both APIs and of the servers that speak like them, in `error.type` or `error.code`.
IN_BAND_CODES = {
    "authentication_error": "upstream_auth",
    "invalid_api_key": "upstream_auth",
    "incorrect_api_key": "upstream_auth",
    "permission_error": "upstream_auth",
    "permission_denied": "upstream_auth",
    "not_found_error": "upstream_not_found",
    "model_not_found": "upstream_not_found",
    "invalid_request_error": "upstream_invalid",
    "request_too_large": "upstream_invalid",
    "context_length_exceeded": "upstream_invalid",
    "content_policy_violation": "upstream_invalid",
    "content_filter": "upstream_invalid",
    "rate_limit_error": "upstream_rate_limited",
    "rate_limit_exceeded": "upstream_rate_limited",
    "insufficient_quota": "upstream_rate_limited",
    "billing_error": "upstream_rate_limited",
    "overloaded_error": "upstream_overloaded",
    "engine_overloaded_error": "upstream_overloaded",
    "timeout_error": "upstream_overloaded",
    "gateway_timeout_error": "upstream_overloaded",
    "api_error": "upstream_overloaded",
    "server_error": "upstream_overloaded",
    # Bedrock's, of `ResponseStream` in its API reference.
    "validationException": "upstream_invalid",
    "throttlingException": "upstream_rate_limited",
    "internalServerException": "upstream_overloaded",
    "serviceUnavailableException": "upstream_overloaded",
    "modelTimeoutException": "upstream_overloaded",
    "modelStreamErrorException": "upstream_overloaded",
}

# The first row that fits anything in the chain of causes.
EXCEPTION_CODES: tuple[tuple[type[BaseException], str], ...] = (
    (httpx2.ConnectTimeout, "timeout_connect"),
    (httpx2.PoolTimeout, "timeout_connect"),
    (httpx2.TimeoutException, "timeout_first_event"),
    (httpx2.DecodingError, "upstream_protocol"),
    (EarlyEndError, "upstream_unreachable"),
    (httpx2.RemoteProtocolError, "upstream_protocol"),
    (httpx2.UnsupportedProtocol, "upstream_unreachable"),
    # A request that cannot be sent, because of a key that no header can hold, say: asking again will not help.
    (httpx2.LocalProtocolError, "internal"),
    (httpx2.TransportError, "upstream_unreachable"),
    (openai.APIResponseValidationError, "upstream_protocol"),
    (anthropic.APIResponseValidationError, "upstream_protocol"),
    (TimeoutError, "timeout_first_event"),
    (OSError, "upstream_unreachable"),
)

# Servers that only pass errors on give the status they met as the code.
_STATUS = re.compile(r"[45]\d\d", re.ASCII)
# What an error is named with: `rate_limit_error`, `BadRequestError`, `1301`. No key and no sentence looks like that.
_NAME = re.compile(r"[A-Za-z_]{1,40}|\d{1,6}", re.ASCII)


@contextmanager
def mapped() -> Iterator[None]:
    """Let nothing but `RealtimeError` out, and log what went wrong."""
    try:
        yield
    except RealtimeError as error:
        log_fault(error, "provider failed")
        raise
    except Exception as exc:  # noqa: BLE001
        fault = from_exception(exc)
        log_fault(fault, "provider failed")
        # `from None`: a traceback that shows the cause would show the provider's text with it.
        raise fault from None


def log_fault(error: RealtimeError, what: str) -> None:
    """One line without a word of the provider's but the names of its errors."""
    _logger.warning("%s: %s", what, ", ".join([error.code, *getattr(error, "__notes__", ())]))


def from_exception(exc: Exception) -> RealtimeError:
    """The error for an exception of an SDK or of the HTTP stack under it."""
    if isinstance(exc, openai.APIStatusError | anthropic.APIStatusError):
        return _noted(from_status(exc.status_code, exc.response.headers), *_names(exc.body))
    chain = list(_causes(exc))
    told = " <- ".join(type(cause).__name__ for cause in chain)
    for kind, code in EXCEPTION_CODES:
        if any(isinstance(cause, kind) for cause in chain):
            return _noted(RealtimeError(code), told)
    return _noted(RealtimeError("internal"), f"unforeseen {told}", _place(exc))


def from_status(status: int, headers: Mapping[str, str]) -> RealtimeError:
    """The error for an HTTP status that is not a success."""
    code = STATUS_CODES.get(status) or _by_class(status)
    title = ERRORS[code].title
    error = RealtimeError(code, f"{title} (HTTP {status}).", retry_after_s=retry_after_s(headers))
    return _noted(error, f"HTTP {status}")


def from_in_band(error: Any) -> RealtimeError:
    """The error for an `error` object inside a stream that had begun well."""
    return _noted(_by_name(error), "in the stream", *_names(error))


def from_credentials(error: Exception) -> RealtimeError:
    """The error for a request that could not be signed."""
    return _noted(RealtimeError("upstream_auth"), "credentials", type(error).__name__)


def from_garbage(what: str, data: bytes = b"") -> RealtimeError:
    """The error for bytes that are none of the provider's protocol; `what` is our sentence about them."""
    return _noted(RealtimeError("upstream_protocol", what), f"{what} ({len(data)} bytes)" if data else what)


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


def _by_name(error: Any) -> RealtimeError:
    given = _inner(error)
    for word in (str(given.get(key)) for key in ("code", "type")):
        if _STATUS.fullmatch(word):
            return from_status(int(word), {})
        if word in IN_BAND_CODES:
            return RealtimeError(IN_BAND_CODES[word])
    return RealtimeError("upstream_overloaded")


def _names(body: Any) -> Iterator[str]:
    """What an error object is named with."""
    given = _inner(body)
    for key in ("type", "code"):
        word = str(given.get(key)) if given.get(key) is not None else ""
        if _NAME.fullmatch(word):
            yield f"{key} {word}"


def _inner(body: Any) -> dict[str, Any]:
    """An error object out of its envelope, and that out of a list, into which Gemini's compatible endpoint puts it."""
    given = body[0] if isinstance(body, list) and body else body
    inner = given.get("error") if isinstance(given, dict) else None
    if isinstance(inner, dict):
        return inner
    return given if isinstance(given, dict) else {}


def _noted(error: RealtimeError, *notes: str) -> RealtimeError:
    for note in notes:
        error.add_note(note)
    return error


def _causes(exc: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = exc
    while seen is not None:
        yield seen
        seen = seen.__cause__


def _place(exc: Exception) -> str:
    """Where it was raised: the text of an exception that nobody foresaw may hold anything, its line does not."""
    trace = exc.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"


def _by_class(status: int) -> str:
    if status >= 500:
        return "upstream_overloaded"
    return "upstream_invalid" if status >= 400 else "upstream_protocol"


def _until(date: str) -> float:
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - time.time())
    except (ValueError, OverflowError):
        return math.nan
