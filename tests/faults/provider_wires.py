"""The adapters whose providers go wrong, and what each wire has for the same few things."""

from collections.abc import Callable
from dataclasses import dataclass
from struct import pack
from zlib import crc32

from realtime.providers.anthropic import AnthropicProvider
from realtime.providers.anthropic_clouds import BedrockProvider
from realtime.providers.base import Provider
from realtime.providers.openai import OpenAIProvider
from realtime.providers.openai_responses import OpenAIResponsesProvider
from tests.upstream import bedrock, chat, messages, responses

# Part of every key and of every prompt.
SECRET = "s3cret"
TOKENS = ("Hel", "lo, ", "you.")
TEXT = "".join(TOKENS)

# More than an event may have.
_OVERSIZE = 9 << 20


@dataclass(frozen=True)
class Wire:
    """One adapter, and what its provider says in which bytes.

    Attributes:
        make: The adapter, by a URL and how many connections it may have.
        begun: Of an answer of `TEXT`.
        whole: All of it.
        alive: Says nothing.
        error: An error in the stream that says this.
        malformed: An event that is none and says this.
        oversize: The beginning of an event that is too large.
    """

    make: Callable[[str, int], Provider]
    begun: list[bytes]
    whole: list[bytes]
    alive: bytes
    error: Callable[[str], bytes]
    malformed: Callable[[str], bytes]
    oversize: bytes


def _key(name: str) -> str:
    return f"sk-{SECRET}-{name}"


def _garbled(text: str) -> bytes:
    return b"data: {%b\n\n" % text.encode()


_AWS_SIZES = pack(">II", _OVERSIZE, 16)
_RESPONSES = responses.text(*TOKENS)

WIRES = {
    "openai": Wire(
        lambda url, most: OpenAIProvider(_key("openai"), url, max_connections=most),
        chat.text(*TOKENS, finish=None),
        chat.text(*TOKENS),
        b": still here\n\n",
        lambda text: chat.error(text, code=text),
        _garbled,
        b"data: " + b"x" * _OVERSIZE,
    ),
    "responses": Wire(
        lambda url, most: OpenAIResponsesProvider(_key("responses"), url, max_connections=most),
        _RESPONSES[: 4 + len(TOKENS)],
        _RESPONSES,
        b": still here\n\n",
        lambda text: responses.error(text, text),
        _garbled,
        b"data: " + b"x" * _OVERSIZE,
    ),
    "anthropic": Wire(
        lambda url, most: AnthropicProvider(_key("anthropic"), url, max_connections=most),
        messages.text(*TOKENS, whole=False),
        messages.text(*TOKENS),
        messages.event("ping"),
        lambda text: messages.error(message=text),
        _garbled,
        b"data: " + b"x" * _OVERSIZE,
    ),
    "bedrock": Wire(
        lambda url, most: BedrockProvider(_key("bedrock"), "eu-west-1", url, max_connections=most),
        bedrock.framed(messages.text(*TOKENS, whole=False)),
        bedrock.framed(messages.text(*TOKENS)),
        bedrock.chunk(b'{"type": "ping"}'),
        lambda text: bedrock.exception("serviceUnavailableException", text),
        lambda text: bedrock.chunk(b"{" + text.encode()),
        _AWS_SIZES + pack(">I", crc32(_AWS_SIZES)) + b"x" * 64,
    ),
}
