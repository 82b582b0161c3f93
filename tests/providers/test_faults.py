"""What goes wrong upstream, as the error table has it, and what of it nobody may see."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator
from email.utils import formatdate
from typing import Any

import httpx2
import pytest

from realtime.errors import ERRORS, RealtimeError
from realtime.events import Text
from realtime.policy import Deadlines
from realtime.providers.anthropic import AnthropicProvider
from realtime.providers.base import Provider
from realtime.providers.faults import (
    EXCEPTION_CODES,
    IN_BAND_CODES,
    STATUS_CODES,
    from_exception,
    from_in_band,
    mapped,
    redact,
    retry_after_s,
)
from realtime.providers.openai import OpenAIProvider

from ..upstream import RESET, STALL, Exchange, Reply, Upstream, chat, messages
from .heard import HELLO, hear

KEY = "sk-test-0123456789"


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as server:
        yield server


def made(kind: str, url: str, **more: Any) -> Provider:
    """A provider of either kind at `url`."""
    return AnthropicProvider(KEY, url, **more) if kind == "anthropic" else OpenAIProvider(KEY, url, **more)


@pytest.fixture(params=["openai", "anthropic"])
async def provider(request: pytest.FixtureRequest, upstream: Upstream) -> AsyncIterator[Provider]:
    provider = made(request.param, upstream.url)
    yield provider
    await provider.close()


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (302, "upstream_protocol"),
        (400, "upstream_invalid"),
        (401, "upstream_auth"),
        (402, "upstream_rate_limited"),
        (403, "upstream_auth"),
        (404, "upstream_not_found"),
        (408, "upstream_overloaded"),
        (409, "upstream_invalid"),
        (413, "upstream_invalid"),
        (422, "upstream_invalid"),
        (429, "upstream_rate_limited"),
        (500, "upstream_overloaded"),
        (503, "upstream_overloaded"),
        (529, "upstream_overloaded"),
    ],
)
async def test_statuses(upstream: Upstream, provider: Provider, status: int, code: str) -> None:
    """A status is one row of the table, asked once; it is not retried and not followed elsewhere."""
    upstream.reply = Reply.json({"error": {"message": "why"}}, status, location=f"{upstream.url}/elsewhere")
    heard = await hear(provider)
    assert heard.code == code
    assert heard.error is not None
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
    ],
)
def test_in_band_errors(error: Any, code: str) -> None:
    """An error inside a stream is told by its code, then by its type, and is a failing provider otherwise."""
    assert from_in_band(error, "").code == code


async def test_chat_errors_in_the_stream(upstream: Upstream) -> None:
    """In its envelope, bare, or under the event's name: an error ends the stream, and what came before is kept."""
    provider = OpenAIProvider(KEY, upstream.url)
    error = {"message": "x", "type": "rate_limit_exceeded"}
    for step in (
        chat.event({"error": error}),
        chat.event({"object": "error", **error}),
        chat.event({"type": "error", "error": error}),
        b"event: error\n" + chat.event(error),
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
        (Reply([b"data: " + b"x" * (5 << 20)]), "upstream_protocol"),
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


def _echo(exchange: Exchange) -> str:
    return f"You sent Authorization: {exchange.headers['authorization']} and key {KEY}"


@pytest.mark.parametrize("status", [200, 400, 401, 500])
async def test_a_key_that_is_echoed_goes_nowhere(
    upstream: Upstream, provider: Provider, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """An upstream that repeats our Authorization header gets it into no error and into no log, whatever the level."""
    caplog.set_level(logging.DEBUG)

    def reply(exchange: Exchange) -> Reply:
        error = {"type": "server_error", "message": _echo(exchange), "authorization": KEY, "code": KEY}
        if status != 200:
            return Reply.json({"error": error}, status)
        wire = [*chat.text("x", finish=None), chat.event({"error": error})]
        if "messages" in exchange.path:
            wire = [*messages.text("x", whole=False), messages.event("error", error=error)]
        return Reply(wire)

    upstream.reply = reply
    heard = await hear(provider)
    assert heard.error is not None
    shown = json.dumps([repr(heard.error), caplog.text, [repr(record.__dict__) for record in caplog.records]])
    assert KEY not in shown
    assert "You sent" not in repr(heard.error)
    assert "You sent [redacted]" in caplog.text


async def test_a_traceback_does_not_show_the_provider(upstream: Upstream, provider: Provider) -> None:
    """The error carries no cause: logging it with its traceback shows our sentence only."""
    upstream.reply = Reply.json({"error": {"message": f"bad key {KEY}"}}, 401)
    with pytest.raises(RealtimeError) as raised:
        await provider.open(HELLO, Deadlines()).__aenter__()
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


@pytest.mark.parametrize(
    "text",
    [
        f"key {KEY}.",
        "Authorization: Bearer abcdef.ghi",
        'headers={"authorization": "Bearer abcdef"}',
        "'x-api-key': 'abcdef'",
        "api_key=abcdef",
        "Incorrect API key provided: sk-abcdef***wxyz",
        "bearer abcdef",
    ],
)
def test_redaction(text: str) -> None:
    """Our key, and whatever looks like a key or a header that holds one, is cut out."""
    cut = redact(text, KEY)
    assert "[redacted]" in cut
    assert "abcdef" not in cut
    assert KEY not in cut


def test_redaction_leaves_the_rest() -> None:
    """What is no secret is what the log is for."""
    assert redact("The model gpt-5 does not exist (basically).", KEY) == "The model gpt-5 does not exist (basically)."


def test_a_long_text_is_cut_after_it_was_redacted(caplog: pytest.LogCaptureFixture) -> None:
    """A key at the edge of what is logged does not survive in half, and a log line stays one line."""
    from_in_band({"message": "x\n" * 230 + KEY}, KEY)
    assert KEY[:8] not in caplog.text
    assert len(caplog.records) == 1
    assert caplog.text.count("\n") == 1


def test_what_was_not_foreseen_is_internal() -> None:
    """An exception of no row is our own fault, and says nothing of itself."""
    error = from_exception(KeyError("secret"), "")
    assert error.code == "internal"
    assert "secret" not in error.error.message


def test_our_own_errors_and_cancellation_pass() -> None:
    """A mapped block changes neither an error that is ours nor a cancellation."""
    for ours in (RealtimeError("upstream_auth"), asyncio.CancelledError()):
        with pytest.raises(type(ours)) as raised, mapped(""):
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
    assert from_exception(wrapped, "").code == "timeout_first_event"
