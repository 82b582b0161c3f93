"""What goes wrong upstream, as the error table has it, and what of it nobody may see."""

import asyncio
import contextlib
import json
import logging
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from typing import Any

import httpx2
import pytest

from realtime.errors import ERRORS, RealtimeError
from realtime.events import Text
from realtime.policy import Deadlines
from realtime.prompt import Message, Prompt
from realtime.providers.address import shown_url, split_credentials
from realtime.providers.anthropic import AnthropicProvider
from realtime.providers.base import Provider
from realtime.providers.faults import (
    EXCEPTION_CODES,
    IN_BAND_CODES,
    STATUS_CODES,
    from_exception,
    from_in_band,
    mapped,
    retry_after_s,
)
from realtime.providers.openai import OpenAIProvider

from ..upstream import RESET, STALL, Exchange, Reply, Upstream, chat, messages
from .heard import HELLO, hear

KEY = "sk-test-0123456789"
PROMPT = "Ubiquitous marmalade, quietly."


def made(kind: str, url: str, **more: Any) -> Provider:
    """A provider of either kind at `url`."""
    return AnthropicProvider(KEY, url, **more) if kind == "anthropic" else OpenAIProvider(KEY, url, **more)


@pytest.fixture(params=["openai", "anthropic"])
async def provider(request: pytest.FixtureRequest, upstream: Upstream) -> AsyncIterator[Provider]:
    provider = made(request.param, upstream.url)
    yield provider
    await provider.close()


# Whether the same request can succeed later is what a caller decides by, so it is spelled out.
STATUSES = [
    (302, "upstream_protocol", True),
    (400, "upstream_invalid", False),
    (401, "upstream_auth", False),
    (402, "upstream_rate_limited", True),
    (403, "upstream_auth", False),
    (404, "upstream_not_found", False),
    (405, "upstream_invalid", False),
    (408, "upstream_overloaded", True),
    (409, "upstream_overloaded", True),
    (413, "upstream_invalid", False),
    (422, "upstream_invalid", False),
    (424, "upstream_overloaded", True),
    (429, "upstream_rate_limited", True),
    (498, "upstream_overloaded", True),
    (500, "upstream_overloaded", True),
    (502, "upstream_overloaded", True),
    (503, "upstream_overloaded", True),
    (504, "upstream_overloaded", True),
    (520, "upstream_overloaded", True),
    (529, "upstream_overloaded", True),
]


@pytest.mark.parametrize(("status", "code", "retryable"), STATUSES)
async def test_statuses(upstream: Upstream, provider: Provider, status: int, code: str, retryable: bool) -> None:
    """A status is one row of the table, asked once; it is not retried and not followed elsewhere."""
    upstream.reply = Reply.json({"error": {"message": "why"}}, status, location=f"{upstream.url}/elsewhere")
    heard = await hear(provider)
    assert heard.code == code
    assert heard.error is not None
    assert heard.error.retryable is retryable
    assert str(status) in heard.error.message
    assert "why" not in heard.error.message
    assert len(upstream.exchanges) == 1


async def test_retry_after_is_passed_on(upstream: Upstream, provider: Provider) -> None:
    """What the provider asks us to wait is what our client is told to wait."""
    upstream.reply = Reply.json({}, 429, retry_after="7")
    heard = await hear(provider)
    assert heard.error is not None
    assert heard.error.retry_after_s == 7


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "9" * 30}, 86_400.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"retry-after": "Thu, 99 Jan 99999 00:00:00 GMT"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, milliseconds and dates are understood, and what makes no sense is not there."""
    assert retry_after_s(headers) == seconds


def test_a_date_to_retry_after() -> None:
    """A date is the seconds until then."""
    seconds = retry_after_s({"retry-after": formatdate(time.time() + 100, usegmt=True)})
    assert seconds is not None
    assert 90 < seconds <= 100


@pytest.mark.parametrize(
    ("error", "code"),
    [
        *(({"type": word}, code) for word, code in IN_BAND_CODES.items()),
        ({"code": 429, "type": None}, "upstream_rate_limited"),
        ({"code": "401", "type": "BadRequest"}, "upstream_auth"),
        ({"code": 502}, "upstream_overloaded"),
        ({"code": 7, "type": "brand_new"}, "upstream_overloaded"),
        ({"code": "model_not_found", "type": "invalid_request_error"}, "upstream_not_found"),
        ("a plain string", "upstream_overloaded"),
        (["a list"], "upstream_overloaded"),
        ([], "upstream_overloaded"),
        ([{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}], "upstream_rate_limited"),
        ({"error": {"type": "overloaded_error"}}, "upstream_overloaded"),
        ({"error": {"code": "invalid_api_key"}}, "upstream_auth"),
    ],
)
def test_in_band_errors(error: Any, code: str) -> None:
    """An error inside a stream is told by its code, then by its type, and is a failing provider otherwise."""
    assert from_in_band(error).code == code


async def test_chat_errors_in_the_stream(upstream: Upstream) -> None:
    """In its envelope, bare, or under the event's name: an error ends the stream, and what came before is kept."""
    provider = OpenAIProvider(KEY, upstream.url)
    error = {"message": "x", "type": "rate_limit_exceeded"}
    for step in (
        chat.event({"error": error}),
        chat.event({"object": "error", **error}),
        chat.event({"type": "error", "error": error}),
        b"event: error\n" + chat.event(error),
        chat.event([{"error": error}]),
    ):
        upstream.reply = Reply([b"".join([*chat.text("said", finish=None), step])])
        heard = await hear(provider)
        assert (heard.events, heard.code) == ([Text("said")], "upstream_rate_limited")
    await provider.close()


async def test_a_chunk_that_says_there_is_no_error(upstream: Upstream) -> None:
    """`"error": null` is no error, and neither is a chunk that says nothing at all."""
    provider = OpenAIProvider(KEY, upstream.url)
    upstream.reply = Reply([chat.event({"error": None}), chat.event({}), b"data:\n\n", *chat.text("x")])
    heard = await hear(provider)
    assert (heard.message.text, heard.error) == ("x", None)
    await provider.close()


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply([b"<html>Welcome to the hotel wifi</html>"]), "upstream_protocol"),
        (Reply([b"data: {nope\n\n"]), "upstream_protocol"),
        (Reply([b'data: "text"\n\n']), "upstream_protocol"),
        (Reply([b"data: " + b"[" * 100_000 + b"\n\n"]), "upstream_protocol"),
        (Reply([b"data: " + b"x" * (9 << 20)]), "upstream_protocol"),
        (Reply([b"junk"], headers={"content-encoding": "gzip"}), "upstream_protocol"),
        (Reply([b"SSH-2.0-OpenSSH_9\r\n"], framing="none"), "upstream_protocol"),
        (Reply([b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n"], framing="none"), "upstream_protocol"),
        (Reply.json({"error": {"type": "authentication_error"}}), "upstream_auth"),
        (Reply.json({"choices": []}), "upstream_protocol"),
        (Reply([b"data: {"]), None),
        (Reply([]), None),
        (Reply(before=[RESET]), "upstream_unreachable"),
        (Reply([], framing="none"), "upstream_unreachable"),
    ],
)
async def test_answers_that_are_no_stream(
    upstream: Upstream, provider: Provider, reply: Reply, code: str | None
) -> None:
    """Garbage is told from a stream that was cut short, which just ends, and from a lost connection."""
    upstream.reply = reply
    heard = await hear(provider)
    assert (heard.events, heard.ended, heard.code) == ([], [], code)


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
async def test_nobody_listens(kind: str) -> None:
    """A refused connection and a name that does not resolve are no timeouts, whatever the SDK calls them."""
    async with Upstream() as gone:
        url = gone.url
    for nowhere in (url, "http://nowhere.invalid"):
        provider = made(kind, nowhere)
        assert (await hear(provider)).code == "upstream_unreachable"
        await provider.close()


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
async def test_connecting_takes_too_long(upstream: Upstream, kind: str) -> None:
    """The connect deadline is the caller's, and waiting for a place in a full pool counts as connecting."""
    provider = made(kind, upstream.url, max_connections=1)
    upstream.reply = Reply([STALL])
    async with provider.open(HELLO, Deadlines()):
        heard = await hear(provider, deadlines=Deadlines(connect_s=0.05))
    assert heard.code == "timeout_connect"
    await provider.close()


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
async def test_credentials_in_the_url(upstream: Upstream, kind: str) -> None:
    """A user and password in the base URL reach the server as Basic, percent-decoded, and the generation comes."""
    upstream.reply = Reply(messages.text("x") if kind == "anthropic" else chat.text("x"))
    provider = made(kind, upstream.url.replace("://", "://user:p%40ss@"))
    heard = await hear(provider)
    await provider.close()
    assert (heard.message.text, heard.error) == ("x", None)
    (exchange,) = upstream.exchanges
    assert exchange.headers["authorization"] == "Basic " + b64encode(b"user:p@ss").decode()


@pytest.mark.parametrize("url", ["http://[::1", "nonsense", "http://user:pass@", ""])
def test_a_url_that_is_none_is_shown_without_secrets(url: str) -> None:
    """Whatever was given for a URL, what is shown of it holds no password."""
    assert "pass" not in shown_url(url)
    assert split_credentials(url)[0] == url.replace("user:pass@", "")


def _echo(exchange: Exchange) -> dict[str, Any]:
    """An error that says all that it was told, wherever an error can say something."""
    told = f"{PROMPT} {KEY} {exchange.headers.get('authorization')} {json.dumps(exchange.body)}"
    return {"message": told, "param": told, "authorization": KEY, "code": KEY, "type": told, "status": told}


def _stream_error(exchange: Exchange) -> Reply:
    if "messages" in exchange.path:
        return Reply([*messages.text("x", whole=False), messages.event("error", error=_echo(exchange))])
    return Reply([*chat.text("x", finish=None), chat.event({"error": _echo(exchange)})])


def _told(exchange: Exchange) -> bytes:
    return json.dumps(_echo(exchange)).encode()


ECHOES: dict[str, Callable[[Exchange], Reply]] = {
    "400": lambda exchange: Reply.json({"error": _echo(exchange)}, 400),
    "401, bare": lambda exchange: Reply.json(_echo(exchange), 401),
    "500, no JSON": lambda exchange: Reply([_told(exchange)[1:]], 500),
    "in the stream": _stream_error,
    "an error with 200": lambda exchange: Reply.json({"error": _echo(exchange)}),
    "a completion that is no stream": lambda exchange: Reply.json({"choices": [{"message": _echo(exchange)}]}),
    "no JSON with 200": lambda exchange: Reply([_told(exchange)[1:]]),
    "an event that is none": lambda exchange: Reply([b"data: " + _told(exchange)[1:] + b"\n\n"]),
    "a broken status line": lambda exchange: Reply([_told(exchange)], framing="none"),
    "broken chunks": lambda exchange: Reply(
        [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + _told(exchange) + b"\r\n"], framing="none"
    ),
}


@pytest.mark.parametrize("echo", sorted(ECHOES))
async def test_what_is_echoed_goes_nowhere(
    upstream: Upstream, provider: Provider, caplog: pytest.LogCaptureFixture, echo: str
) -> None:
    """A provider that repeats prompt and key in its fault gets them into no error and no log line."""
    caplog.set_level(logging.DEBUG, logger="realtime")
    upstream.reply = ECHOES[echo]
    heard = await hear(provider, Prompt("m", (Message("user", PROMPT),)))
    assert heard.error is not None
    records = [record for record in caplog.records if record.name == "realtime"]
    assert len(records) == 1
    shown = json.dumps([repr(heard.error), records[0].getMessage(), repr(records[0].__dict__)])
    for secret in (KEY, PROMPT, PROMPT.split(maxsplit=1)[0]):
        assert secret not in shown
    assert heard.code is not None
    assert heard.code in records[0].getMessage()


async def test_a_traceback_does_not_show_the_provider(upstream: Upstream, provider: Provider) -> None:
    """The error carries no cause: logging it with its traceback shows our sentence only."""
    upstream.reply = Reply.json({"error": {"message": f"bad key {KEY}"}}, 401)
    with pytest.raises(RealtimeError) as raised:
        await provider.open(HELLO, Deadlines()).__aenter__()
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            {"type": "rate_limit_error", "code": 1301},
            "upstream_rate_limited, in the stream, type rate_limit_error, code 1301",
        ),
        (
            {"error": {"type": "BadRequestError", "code": 400}},
            "upstream_invalid, HTTP 400, in the stream, type BadRequestError, code 400",
        ),
        ({"type": "two words", "code": "sk-abc"}, "upstream_overloaded, in the stream"),
        ({"type": "x" * 41, "code": ["a"]}, "upstream_overloaded, in the stream"),
        ({"type": "line\n", "code": "12345678"}, "upstream_overloaded, in the stream"),
        ("a plain string", "upstream_overloaded, in the stream"),
    ],
)
def test_only_names_are_logged(caplog: pytest.LogCaptureFixture, error: Any, line: str) -> None:
    """The log has our code and what the provider names its error with, as long as that looks like a name."""
    with pytest.raises(RealtimeError), mapped():
        raise from_in_band(error)
    assert [record.getMessage() for record in caplog.records] == [f"provider failed: {line}"]


def test_the_unforeseen_is_logged_by_its_place(caplog: pytest.LogCaptureFixture) -> None:
    """The types and the line of an exception of no row are logged, its text is not."""
    with pytest.raises(RealtimeError), mapped():
        raise KeyError("secret")
    (record,) = caplog.records
    assert "unforeseen KeyError, test_faults.py:" in record.getMessage()
    assert "secret" not in record.getMessage()


def test_what_was_not_foreseen_is_internal() -> None:
    """An exception of no row is our own fault, and says nothing of itself."""
    error = from_exception(KeyError("secret"))
    assert error.code == "internal"
    assert "secret" not in error.error.message


def test_our_own_errors_and_cancellation_pass() -> None:
    """A mapped block changes neither an error that is ours nor a cancellation."""
    for ours in (RealtimeError("upstream_auth"), asyncio.CancelledError()):
        with pytest.raises(type(ours)) as raised, mapped():
            raise ours
        assert raised.value is ours


def test_the_order_of_rows_is_by_type() -> None:
    """No row stands before one of a more special type, which would never be reached."""
    kinds = [kind for kind, _ in EXCEPTION_CODES]
    for index, kind in enumerate(kinds):
        assert not any(issubclass(later, kind) for later in kinds[index + 1 :]), kind


def test_every_code_is_in_the_table() -> None:
    """No mapping names a code that does not exist."""
    named = {*STATUS_CODES.values(), *IN_BAND_CODES.values(), *(code for _, code in EXCEPTION_CODES)}
    assert named <= set(ERRORS)


def test_a_read_timeout_is_a_silent_provider() -> None:
    """Should a read time out after all, the provider sent nothing in time."""
    wrapped = OSError()
    with contextlib.suppress(OSError):
        raise wrapped from httpx2.ReadTimeout("slow")
    assert from_exception(wrapped).code == "timeout_first_event"
