"""The events of a Messages stream as they are on the wire.

Only what is used is declared. What is new in an event, a block or a delta is skipped by the decoder; what is new as a
whole has a `type` that is not known here. Anthropic adds types without a new version.
"""

from typing import Annotated, Any

import msgspec

from ..events import Reason

REASONS: dict[str, Reason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "refusal": "refusal",
}

EVENTS = frozenset(
    {
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "ping",
        "error",
    }
)
DELTAS = frozenset({"text_delta", "thinking_delta", "signature_delta", "input_json_delta", "citations_delta"})

# Characters of a reason in the provider's words, which are one word.
MAX_REASON = 100
# Tokens. What is negative or beyond what anyone can count is no figure.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
# Of a content block; no answer has a million of them.
Index = Annotated[int, msgspec.Meta(ge=0, le=2**20)]


class Message(msgspec.Struct):
    usage: Any = None


class Block(msgspec.Struct):
    """A content block of any type; a call's `input` is empty here and comes in deltas, but for some servers' whole."""

    type: str
    id: str = ""
    name: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    input: Any = None
    tool_use_id: str = ""
    content: Any = None
    is_error: bool | None = None
    citations: list[Any] | None = None
    file_id: str | None = None


class Delta(msgspec.Struct):
    """Of a content block, or of the message when it ends."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    citation: Any = None
    stop_reason: str | None = None
    stop_details: Any = None
    container: Any = None


class Event(msgspec.Struct):
    type: str = ""
    index: Index = 0
    delta: Delta | None = None
    content_block: msgspec.Raw = msgspec.Raw(b"null")
    message: Message | None = None
    usage: Any = None
    error: Any = None
    context_management: Any = None


class OutputDetails(msgspec.Struct):
    thinking_tokens: Count | None = None


class Figures(msgspec.Struct):
    """A `usage` object; `server_tool_use` counts what was asked of each tool that the provider runs."""

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    output_tokens_details: OutputDetails | None = None
    server_tool_use: dict[str, Count] | None = None


decode_event = msgspec.json.Decoder(Event).decode
decode_block = msgspec.json.Decoder(Block).decode
