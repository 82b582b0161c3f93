"""The shapes of a Responses stream's events.

Only what is used is declared: msgspec skips the rest. What servers disagree about is typed loosely, because one odd
field must not end a generation.
"""

from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from ..events import Usage
from .event_stream import ServerEvent
from .faults import from_garbage
from .lenient import any_json, passed_on, tolerant_json

Shape = TypeVar("Shape", bound=msgspec.Struct)

# They say that something goes on, or what an item says in whole when it is done: signs of life.
QUIET = frozenset(
    {
        "response.audio.done",
        "response.audio.transcript.done",
        "response.compaction.compacting",
        "response.shell_call_command.added",
        "response.shell_call_command.delta",
        "response.shell_call_command.done",
        "response.shell_call_output_content.delta",
        "response.shell_call_output_content.done",
        "response.mcp_call.failed",
        "response.mcp_list_tools.failed",
        "response.image_generation_call.generating",
        "response.code_interpreter_call.interpreting",
        "response.web_search_call.searching",
        "response.file_search_call.searching",
        *(
            f"response.{what}.{state}"
            for what in (
                "code_interpreter_call",
                "file_search_call",
                "image_generation_call",
                "mcp_call",
                "mcp_list_tools",
                "web_search_call",
            )
            for state in ("in_progress", "completed")
        ),
        "keepalive",
        "ping",
    }
)

# Known, without a type of ours.
PASSED_ON = frozenset(
    {"response.audio.delta", "response.audio.transcript.delta", "response.image_generation_call.partial_image"}
)
ITEMS_PASSED_ON = frozenset(
    {"additional_tools", "compaction", "mcp_approval_request", "mcp_approval_response", "mcp_list_tools"}
)

# Of an event, what is not content.
_ENVELOPE = frozenset(
    {
        "type",
        "sequence_number",
        "response_id",
        "event_id",
        "item_id",
        "output_index",
        "content_index",
        "summary_index",
        "obfuscation",
    }
)

# Characters of a reason in the provider's words, which are one word.
MAX_REASON = 100

NOTHING = msgspec.Raw(b"null")


class ResponseEvent(msgspec.Struct):
    """An event of any type."""

    type: str = ""
    sequence_number: int | None = None
    output_index: int | None = None
    content_index: int | None = None
    summary_index: int | None = None
    delta: str | dict[str, Any] | None = None
    text: str | None = None
    refusal: str | None = None
    arguments: Any = None
    input: str | None = None
    code: Any = None
    annotation: Any = None
    part: Any = None
    item: Any = None
    error: Any = None
    response: msgspec.Raw = NOTHING


class OutputItem(msgspec.Struct):
    """An item of any type, as it is added or done. What differs between servers is typed loosely.

    Attributes:
        content: Parts of a message, or the text of reasoning where the model does not hide it.
        code: Of the code interpreter, or of a program that calls tools.
    """

    type: str
    id: str | None = None
    status: str | None = None
    content: list[Any] | None = None
    summary: list[Any] | None = None
    encrypted_content: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: Any = None
    input: str | None = None
    code: str | None = None
    action: Any = None
    actions: Any = None
    operation: Any = None
    queries: Any = None
    environment: Any = None
    execution: str | None = None
    output: Any = None
    outputs: Any = None
    result: Any = None
    results: Any = None
    tools: Any = None
    error: Any = None
    revised_prompt: str | None = None
    output_format: str | None = None


class _Details(msgspec.Struct):
    reason: str | None = None


class Response(msgspec.Struct):
    """The response itself, as it stands in its first and last events."""

    id: str | None = None
    status: str | None = None
    error: Any = None
    incomplete_details: _Details | None = None
    output: list[Any] | None = None
    usage: msgspec.Raw = NOTHING


class _InputDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


_decode_event = msgspec.json.Decoder(ResponseEvent).decode
_decode_response = msgspec.json.Decoder(Response).decode
_decode_usage = msgspec.json.Decoder(_Usage, strict=False).decode


def decode_event(event: ServerEvent) -> ResponseEvent:
    """One event. Where its data do not say of which type it is, its name does.

    Raises:
        RealtimeError: `upstream_protocol` when it is none.
    """
    try:
        said = _decode_event(event.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = _decode_odd(event.data)
    if not said.type:
        said.type = event.name.decode("utf-8", "replace") or ("error" if said.error else "")
    return said


def _decode_odd(data: bytes) -> ResponseEvent:
    try:
        value = msgspec.json.decode(tolerant_json(data))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise from_garbage("The provider sent an event that is no Responses event.", data)
    return salvaged(value, ResponseEvent)


def decode_response(said: ResponseEvent) -> Response:
    """The response in an event, or as much of it as can be read."""
    try:
        return _decode_response(said.response)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value: Any = None
        with suppress(ValueError, RecursionError):
            value = msgspec.json.decode(tolerant_json(bytes(said.response)))
        return salvaged(value if isinstance(value, dict) else {}, Response)


def decode_item(given: Any) -> OutputItem | None:
    """An output item, or as much of it as can be read; None for what is none."""
    value = passed_on(given)
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        return None
    return salvaged(value, OutputItem)


def salvaged(value: dict[str, Any], kind: type[Shape]) -> Shape:
    """As much of an object as can be read: a field of another type than ours is taken for a missing one."""
    with suppress(msgspec.ValidationError):
        return msgspec.convert(value, kind)
    found = {}
    for field in msgspec.structs.fields(kind):
        if field.name in value:
            held = value[field.name]
            with suppress(msgspec.ValidationError):
                raw = field.type is msgspec.Raw
                found[field.name] = msgspec.Raw(msgspec.json.encode(held)) if raw else msgspec.convert(held, field.type)
    return kind(**found)


def decode_usage(raw: msgspec.Raw) -> Usage | None:
    """The figures of a whole response; None where there are none that can be read."""
    try:
        given = _decode_usage(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if given.input_tokens is None and given.output_tokens is None:
        return None
    read, written = given.input_tokens_details or _InputDetails(), given.output_tokens_details or _OutputDetails()
    prompt, output, reasoning = given.input_tokens or 0, given.output_tokens or 0, written.reasoning_tokens
    if reasoning and given.total_tokens == prompt + output + reasoning:
        # Counted beside the output by some, as in Chat Completions; it is paid for as output.
        output += reasoning
    return Usage(
        input_tokens=prompt,
        output_tokens=output,
        cached_input_tokens=read.cached_tokens,
        cache_write_input_tokens=read.cache_write_tokens,
        reasoning_tokens=reasoning,
    )


def content_of(data: bytes) -> dict[str, Any]:
    """What an event holds beside its envelope."""
    return {name: held for name, held in any_json(data).items() if name not in _ENVELOPE}
