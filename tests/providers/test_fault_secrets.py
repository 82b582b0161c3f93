"""What a provider says in a fault, in whatever field of whatever shape, gets into no error, note, count or log line."""

import json
import logging
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime.errors import RealtimeError
from realtime.providers.event_stream import ServerEvent
from realtime.providers.faults import EXCEPTION_CODES, from_exception, from_garbage, from_in_band, from_status, mapped

from .fuzz import WIRES

KEY = "sk-test-0123456789"
PROMPT = "Ubiquitous marmalade, quietly."
# A key alone and as it is sent, a prompt and a part of it, an address with a password, a sentence around a key.
SECRETS = (
    KEY,
    f"Bearer {KEY}",
    PROMPT,
    f"429 {PROMPT}",
    "http://user:pa55word@host/v1",
    f"Incorrect API key provided: {KEY}.",
)
HIDDEN = (KEY, "marmalade", "Ubiquitous", "pa55word", "user:")

_FIELDS = ["error", "message", "type", "code", "param", "status", "object", "metadata", "event", "detail", "choices"]
_SECRET = st.sampled_from(SECRETS)
_ODD = _SECRET | st.none() | st.booleans() | st.integers(-5, 600)
_BODIES = st.recursive(
    _ODD,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_FIELDS) | _SECRET, inner, min_size=1, max_size=5)
    ),
    max_leaves=12,
)
_HEADERS = st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "x-request-id", "location"]), _SECRET)


def shown(error: RealtimeError) -> str:
    """Everything of an error that someone may see."""
    return " ".join([str(error), repr(error), repr(error.error), *getattr(error, "__notes__", ()), repr(error.args)])


def assert_hidden(text: str) -> None:
    assert not [secret for secret in HIDDEN if secret in text]


@given(_BODIES)
def test_of_errors_in_the_stream(body: Any) -> None:
    """An error object of any shape."""
    assert_hidden(shown(from_in_band(body)))


@given(_BODIES, _HEADERS, st.sampled_from([302, 400, 401, 403, 404, 408, 409, 413, 429, 500, 503, 529, 999]))
def test_of_statuses(body: Any, headers: dict[str, str], status: int) -> None:
    """The SDKs' own exceptions hold the body and say it in their text."""
    response = httpx2.Response(status, headers=headers, request=httpx2.Request("POST", f"http://user:pa55word@h/{KEY}"))
    assert_hidden(shown(from_status(status, response.headers)))
    for sdk in (openai.APIStatusError, anthropic.APIStatusError):
        assert_hidden(shown(from_exception(sdk(PROMPT, response=response, body=body))))


@pytest.mark.parametrize("kind", [kind for kind, _ in EXCEPTION_CODES] + [KeyError, RuntimeError, UnicodeError])
@pytest.mark.parametrize("secret", SECRETS)
def test_of_exceptions(kind: type[Exception], secret: str) -> None:
    """The text of an exception, or of its cause, can hold what was sent."""
    error = kind.__new__(kind, secret)
    error.args = (secret,)
    error.__cause__ = ValueError(secret)
    error.add_note(secret)
    assert_hidden(shown(from_exception(error)))


@given(_SECRET)
def test_of_garbage(secret: str) -> None:
    """Bytes that are no protocol are counted and not repeated."""
    assert_hidden(shown(from_garbage("The provider sent nonsense.", secret.encode())))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(WIRES)), body=_BODIES, event=_SECRET | st.just(""))
def test_of_anything_in_a_stream(caplog: pytest.LogCaptureFixture, name: str, body: Any, event: str) -> None:
    """Any JSON as an event: what a translator raises or counts, and the line that is logged of it."""
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    translator = WIRES[name].translator()
    data = json.dumps(body).encode()
    try:
        with mapped():
            translator.take(ServerEvent(event.encode(), data), [])
            translator.take(ServerEvent(b"", data[:-1]), [])
    except RealtimeError as error:
        assert_hidden(shown(error))
        assert caplog.records
    assert_hidden(repr(vars(translator).get("unknown")))
    assert_hidden(repr([record.__dict__ for record in caplog.records]))
