"""The chunks of Chat Completions as they are on the wire, in the dialects of the servers that speak it.

Only what is used is declared: msgspec skips the rest of a chunk, which is most of it. What servers disagree about is
typed loosely, because one odd field must not end a generation.
"""

from typing import Annotated, Any

import msgspec

from ..events import Reason

REASONS: dict[str, Reason] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "end_turn": "stop",
    "complete": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "recitation": "content_filter",
    "sensitive": "content_filter",
}

# Some servers give a failure as the reason of an end; a part of an answer is not a success.
FAILURES = {
    "error": "upstream_overloaded",
    "insufficient_system_resource": "upstream_overloaded",
    "network_error": "upstream_overloaded",
    "abort": "upstream_truncated",
}

# Characters of a reason in the provider's words, which are one word.
MAX_REASON = 100
# Tokens. What is negative or beyond what anyone can count is no figure.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]

NOTHING = msgspec.Raw(b"null")


class Function(msgspec.Struct):
    """`arguments` is JSON text, but for some servers the object itself."""

    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class Fragment(msgspec.Struct):
    """A piece of a tool call; `index` tells the calls of a message apart where servers send it.

    Attributes:
        extra_content: Gemini's seal over its thoughts, which it wants back with the call.
    """

    index: int | None = None
    id: str | int | None = None
    function: Function | None = None
    extra_content: Any = None


class Delta(msgspec.Struct):
    content: str | list[Any] | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_details: Any = None
    thinking_blocks: Any = None
    refusal: Any = None
    tool_calls: list[Fragment] | None = None
    function_call: Function | None = None
    annotations: Any = None
    images: Any = None
    audio: Any = None


class Choice(msgspec.Struct):
    """`message` is a whole answer in one chunk, of servers that only pretend to stream."""

    index: int | None = None
    delta: Delta | None = None
    message: msgspec.Raw = NOTHING
    finish_reason: str | None = None
    usage: Any = None


class Chunk(msgspec.Struct):
    choices: list[Choice] | None = None
    usage: Any = None
    error: Any = None
    citations: Any = None
    x_groq: Any = None


class CloserChoice(msgspec.Struct):
    delta: dict[str, msgspec.Raw] | None = None


class Closer(msgspec.Struct):
    """A chunk once more, for what a chunk is not known to have."""

    choices: list[CloserChoice] | None = None
    object: Any = None
    type: Any = None


class PromptDetails(msgspec.Struct):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None


class CompletionDetails(msgspec.Struct):
    reasoning_tokens: Count | None = None


class Figures(msgspec.Struct):
    """A `usage` object."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: Count | None = None


decode_chunk = msgspec.json.Decoder(Chunk).decode
decode_closer = msgspec.json.Decoder(Closer).decode
decode_delta = msgspec.json.Decoder(Delta).decode

# A value that says nothing.
EMPTY = frozenset({b"null", b'""', b"[]", b"{}", b"0", b"false"})
# Keys of a delta that are known, and say nothing or the same again.
KNOWN_KEYS = frozenset(Delta.__struct_fields__) | {"role", "provider_specific_fields", "obfuscation", "logprobs"}
