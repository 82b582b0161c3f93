"""Start requests that are wrong in one way each: refused with the code, the field and a sentence that names it."""

import json
from typing import Any

import pytest

from tests.support.server import RunningServer

from .refusals import ask, assert_problem, request_bytes

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("quiet")]

GOOD: dict[str, Any] = {"model": "demo/default", "prompt": "Say it.", "options": {"tokens": 1, "rate": 100_000}}
USER = {"role": "user", "content": "Say it."}
CALL = {"type": "tool_call", "call": "1", "name": "f"}


def messages(*given: Any) -> dict[str, Any]:
    """A change of the good request: messages instead of the prompt."""
    return {"prompt": None, "messages": list(given)}


# What to change in a good request (None takes a field away), the field that is named, words of the sentence.
WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "model-missing": ({"model": None}, "model", "Missing field 'model'"),
    "model-unknown": ({"model": "demo/nope"}, "model", "default, reasoning, tools, json"),
    "model-form": ({"model": "/demo"}, "model", "model: Expected"),
    "model-of-which": ({"model": "demo"}, "model", "demo/<model>"),
    "model-number": ({"model": 5}, "model", "got `int`"),
    "model-line-end": ({"model": "demo/default\n"}, "model", "model: Expected"),
    "model-url": ({"model": "http://example.org/x"}, "model", "model: Expected"),
    "provider-unknown": ({"model": "nope/x"}, "model", "'nope' is not configured here; configured: demo"),
    "field-unknown": ({"api_key": "k"}, "api_key", "Unknown field 'api_key'"),
    "field-unknown-long": ({"x" * 5000: 1}, "x" * 64, "Unknown field"),
    "field-unknown-nested": ({"deadlines": {"read": 1}}, "deadlines.read", "Unknown field"),
    "option-unknown": ({"options": {"base_url": "x"}}, "options.base_url", "Unknown field"),
    "option-range": ({"options": {"rate": 0}}, "options.rate", ">= 0.1"),
    "options-list": ({"options": []}, "options", "got `array`"),
    "prompt-missing": ({"prompt": None}, "messages", "Give a prompt"),
    "prompt-empty": ({"prompt": ""}, "prompt", "prompt is empty"),
    "prompt-blank": ({"prompt": " \n\t"}, "prompt", "prompt is empty"),
    "prompt-number": ({"prompt": 5}, "prompt", "got `int`"),
    "prompt-and-messages": ({"messages": [USER]}, "prompt", "not both"),
    "messages-empty": (messages(), "messages", "at least one message"),
    "messages-object": ({"prompt": None, "messages": {}}, "messages", "got `object`"),
    "messages-too-many": (messages(*[USER] * 1025), "messages", "<= 1024"),
    "role-unknown": (messages({"role": "alien", "content": "x"}), "messages[0].role", "not one of those"),
    "role-missing": (messages({"content": "x"}), "messages[0].role", "Missing field"),
    "content-empty": (messages(USER, {"role": "user", "content": ""}), "messages[1].content", "is empty"),
    "content-no-parts": (messages({"role": "user", "content": []}), "messages[0].content", "is empty"),
    "part-unknown": (messages({"role": "user", "content": [{"type": "x"}]}), "messages[0].content[0].type", "one of"),
    "part-of-another": (messages({"role": "user", "content": [CALL]}), "messages[0].content[0]", "holds text, images"),
    "image-data-url": (
        messages({"role": "user", "content": [{"type": "image", "url": "data:image/png;base64,AP8="}]}),
        "messages[0].content[0].url",
        "send its base64 in data",
    ),
    "file-no-base64": (
        messages({"role": "user", "content": [{"type": "file", "data": "?", "media_type": "application/pdf"}]}),
        "messages[0].content[0].data",
        "is not base64",
    ),
    "image-after-system": (
        messages({"role": "system", "content": "x"}, {"role": "user", "content": [{"type": "image"}]}),
        "messages[1].content[0]",
        "either url or data",
    ),
    "tool-without-type": ({"provider_tools": [{"name": "x"}]}, "provider_tools[0].type", "is missing"),
    "tool-that-reaches-out": (
        {"provider_tools": [{"type": "mcp", "server_url": "https://a.example"}]},
        "provider_tools[0].type",
        "not allowed here",
    ),
    "system-only": (messages({"role": "system", "content": "x"}), "messages", "nothing but a system message"),
    "system-late": (messages(USER, {"role": "system", "content": "x"}), "messages[1].role", "Only the first"),
    "system-twice": ({**messages({"role": "system", "content": "x"}, USER), "system": "y"}, "system", "not both"),
    "tool-without-call": (messages({"role": "tool", "content": "x"}), "messages[0].call", "names its call"),
    "call-without-tool": (messages({**USER, "call": "1"}), "messages[0].call", "names its call"),
    "temperature-high": ({"temperature": 2.5}, "temperature", "<= 2"),
    "temperature-text": ({"temperature": "hot"}, "temperature", "got `str`"),
    "top-p-zero": ({"top_p": 0}, "top_p", "> 0"),
    "max-tokens-zero": ({"max_tokens": 0}, "max_tokens", ">= 1"),
    "max-tokens-float": ({"max_tokens": 1.5}, "max_tokens", "got `float`"),
    "max-tokens-boolean": ({"max_tokens": True}, "max_tokens", "got `bool`"),
    "stop-empty": ({"stop": [""]}, "stop[0]", "length >= 1"),
    "stop-too-many": ({"stop": ["x"] * 17}, "stop", "length <= 16"),
    "tool-name": ({"tools": [{"name": "get weather"}]}, "tools[0].name", "matching"),
    "tool-choice": ({"tool_choice": "maybe"}, "tool_choice", "not one of those"),
    "tool-choice-absent": ({"tool_choice": {"name": "absent"}}, "tool_choice.name", "none of the tools"),
    "response-format": ({"response_format": {"type": "xml"}}, "response_format.type", "not one of those"),
    "conversation-space": ({"conversation": "a b"}, "conversation", "matching"),
    "conversation-empty": ({"conversation": ""}, "conversation", "matching"),
    "conversation-long": ({"conversation": "c" * 129}, "conversation", "matching"),
    "conversation-line-end": ({"conversation": "c\n"}, "conversation", "matching"),
    "if-busy": ({"if_busy": "wait"}, "if_busy", "not one of those"),
    "on-disconnect": ({"on_disconnect": "abort"}, "on_disconnect", "not one of those"),
    "grace-negative": ({"grace": -1}, "grace", ">= 0"),
    "deadline-type-limit": ({"deadlines": {"total": 86_401}}, "deadlines.total", "<= 86400"),
    "deadline-of-server": ({"deadlines": {"total": 1801}}, "deadlines.total", "at most 1800 s here"),
    "metadata-list": ({"metadata": []}, "metadata", "got `array`"),
    "retain": ({"retain": "none"}, "retain", "not one of those"),
    "stream-text": ({"stream": "yes"}, "stream", "got `str`"),
}


def changed(change: dict[str, Any]) -> dict[str, Any]:
    """The good request with a change."""
    return {name: value for name, value in {**GOOD, **change}.items() if value is not None}


@pytest.mark.parametrize("case", WRONG)
async def test_wrong_field(server: RunningServer, case: str) -> None:
    """A field that is wrong is named, with what is wrong about it."""
    change, field, words = WRONG[case]
    body = json.dumps(changed(change)).encode()
    answer = await ask(server.address, request_bytes(server.address, "POST", "/v1/generations", body=body))
    assert_problem(answer, "bad_request", field, words)


LARGE: dict[str, tuple[dict[str, Any], str, int]] = {
    "prompt": ({"prompt": "x" * 1001}, "prompt", 1000),
    "prompt-and-system": ({"prompt": "x" * 500, "system": "y" * 501}, "prompt", 1000),
    "messages": (messages({"role": "user", "content": [{"type": "text", "text": "x" * 1001}]}), "messages", 1000),
    "metadata": ({"metadata": {"note": "x" * 4096}}, "metadata", 4096),
}


@pytest.mark.parametrize("case", LARGE)
async def test_too_large_field(server: RunningServer, case: str) -> None:
    """What is over a limit of its own is refused with the limit, and not repeated."""
    change, field, limit = LARGE[case]
    body = json.dumps(changed(change)).encode()
    answer = await ask(server.address, request_bytes(server.address, "POST", "/v1/generations", body=body))
    assert assert_problem(answer, "too_large", field, str(limit))["limit"] == limit


async def test_limits_are_reached(server: RunningServer) -> None:
    """A prompt of exactly the limit is taken."""
    body = json.dumps(changed({"prompt": "x" * 1000})).encode()
    answer = await ask(server.address, request_bytes(server.address, "POST", "/v1/generations", body=body))
    assert answer.status == 201


# Bodies that are no JSON that everyone reads alike.
MALFORMED: dict[str, bytes] = {
    "empty": b"",
    "blank": b"  ",
    "word": b"nul",
    "truncated": b'{"model":"demo/default","prompt":"x"',
    "truncated-string": b'{"model":"demo/def',
    "two-values": b'{"model":"demo/default","prompt":"x"} {}',
    "single-quotes": b"{'model':'demo/default','prompt':'x'}",
    "trailing-comma": b'{"model":"demo/default","prompt":"x",}',
    "comment": b'{"model":"demo/default"/**/,"prompt":"x"}',
    "byte-order-mark": b'\xef\xbb\xbf{"model":"demo/default","prompt":"x"}',
    "utf-16": '{"model":"demo/default","prompt":"x"}'.encode("utf-16"),
    "latin-1": b'{"model":"demo/default","prompt":"\xe9"}',
    "overlong": b'{"model":"demo/default","prompt":"\xc0\xaf"}',
    "surrogate-bytes": b'{"model":"demo/default","prompt":"\xed\xa0\x80"}',
    "high-surrogate": b'{"model":"demo/default","prompt":"\\ud800"}',
    "low-surrogate": b'{"model":"demo/default","prompt":"\\udc00x"}',
    "control-character": b'{"model":"demo/default","prompt":"\x01"}',
    "nan": b'{"model":"demo/default","prompt":"x","temperature":NaN}',
    "infinity": b'{"model":"demo/default","prompt":"x","temperature":-Infinity}',
    "1e999": b'{"model":"demo/default","prompt":"x","metadata":{"n":1e999}}',
    "integer-beyond-2^53": b'{"model":"demo/default","prompt":"x","metadata":{"n":9007199254740993}}',
    "integer-of-5000-digits": b'{"model":"demo/default","prompt":"x","metadata":{"n":%b}}' % (b"9" * 5000),
    "33-deep": b'{"model":"demo/default","prompt":"x","metadata":%b1%b}' % (b'{"a":' * 32, b"}" * 32),
    "33-deep-and-empty": b'{"model":"demo/default","prompt":"x","metadata":%b{}%b}' % (b'{"a":' * 31, b"}" * 31),
    "100000-deep": b"[" * 100_000,
    "array": b'[{"model":"demo/default"}]',
    "number": b"1",
    "string": b'"demo/default"',
    "null": b"null",
}


@pytest.mark.parametrize("case", MALFORMED)
async def test_malformed_json(server: RunningServer, case: str) -> None:
    """JSON that is not well formed, or that not everyone reads alike, is refused as a whole."""
    request = request_bytes(server.address, "POST", "/v1/generations", body=MALFORMED[case])
    assert_problem(await ask(server.address, request), "bad_request")


async def test_32_deep_is_taken(server: RunningServer) -> None:
    """Nesting up to the limit, counted with the body itself, is fine."""
    body = b'{"model":"demo/default","prompt":"x","metadata":%b{}%b}' % (b'{"a":' * 30, b"}" * 30)
    assert body.count(b"{") == 32
    answer = await ask(server.address, request_bytes(server.address, "POST", "/v1/generations", body=body))
    assert answer.status == 201, answer


@pytest.mark.parametrize(
    "media", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json"]
)
async def test_wrong_content_type(server: RunningServer, media: str) -> None:
    """Only JSON is read; a form or plain text, which a foreign page may send unasked, is not."""
    request = request_bytes(
        server.address, "POST", "/v1/generations", {"Content-Type": media}, json.dumps(GOOD).encode()
    )
    assert_problem(await ask(server.address, request), "unsupported_media_type", "Content-Type", "application/json")


@pytest.mark.parametrize("media", ["application/json; charset=utf-8", "Application/JSON"])
async def test_content_type_as_people_write_it(server: RunningServer, media: str) -> None:
    """Parameters and case do not matter."""
    request = request_bytes(
        server.address, "POST", "/v1/generations", {"Content-Type": media}, json.dumps(GOOD).encode()
    )
    assert (await ask(server.address, request)).status == 201
