"""The content of one message as Anthropic's blocks, and an answer's blocks as they were.

The API checks the seal of what it thought itself, and takes it back only unchanged, in its order, before the calls that
followed from it; so the parts of a turn are never sorted.
"""

import binascii
from typing import Any

import msgspec

from ..prompt import (
    FilePart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

# What it runs itself has such an id; it refuses any other in a `server_tool_use`, which is then another provider's.
_RUN_HERE = "srvtoolu_"
# Both searches for tools answer as one; any other tool answers under its own name.
_TOOL_SEARCH = "tool_search"


def blocks_of(message: Message, *, unfinished: bool) -> list[dict[str, Any]]:
    """A user's or an assistant's turn; empty when nothing in it has a place here.

    Args:
        unfinished: Whether the turn is one to go on with, where a tool the provider runs may be without its result.
    """
    results = {part.call for part in message.parts if isinstance(part, ToolResultPart)}
    names = {
        part.call: part.name
        for part in message.parts
        if isinstance(part, ToolCallPart) and part.provider_run and (unfinished or part.call in results)
    }
    parts = message.parts
    if message.role == "assistant":
        parts = tuple(part for part in parts if not isinstance(part, FilePart))
    return [block for part in parts if (block := _block(part, names)) is not None]


def result_of(message: Message) -> dict[str, Any]:
    """The result of a call that the caller ran."""
    result: dict[str, Any] = {"type": "tool_result", "tool_use_id": message.call}
    content = [block for part in message.parts if (block := _block(part, {})) is not None]
    if content:
        result["content"] = shortened(content)
    return result | {"is_error": True} if message.is_error else result


def shortened(blocks: list[dict[str, Any]]) -> list[dict[str, Any]] | str:
    """One text alone as the string that it can be."""
    return blocks[0]["text"] if len(blocks) == 1 and blocks[0]["type"] == "text" else blocks


def decoded_arguments(arguments: str) -> Any:
    """The value that a call's JSON text says; None for none."""
    try:
        return msgspec.json.decode(arguments or "{}")
    except msgspec.DecodeError:
        return None


def _block(part: Part, names: dict[str, str]) -> dict[str, Any] | None:
    """One content block; None for what has no place, or is refused as a block: text that is blank."""
    match part:
        case TextPart():
            return {"type": "text", "text": part.text} if part.text.strip() else None
        case ImagePart():
            return {"type": "image", "source": _image_source(part)}
        case FilePart():
            title = {} if part.name is None else {"title": part.name}
            return {"type": "document", "source": _document_source(part), **title}
        case ReasoningPart():
            return _reasoning_block(part)
        case ToolCallPart() | ToolResultPart():
            return _tool_block(part, names)
    return None


def _reasoning_block(part: ReasoningPart) -> dict[str, Any] | None:
    """None for what the API did not seal itself: its seals are base64, and other providers' are marked with a colon."""
    if part.redacted is not None:
        return {"type": "redacted_thinking", "data": part.redacted}
    if part.signature is not None and ":" not in part.signature:
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}
    return None


def _tool_block(part: ToolCallPart | ToolResultPart, names: dict[str, str]) -> dict[str, Any] | None:
    if isinstance(part, ToolCallPart) and not part.provider_run:
        return {"type": "tool_use", "id": part.call, "name": part.name, "input": decoded_arguments(part.arguments)}
    name = names.get(part.call)
    if name is None or not part.call.startswith(_RUN_HERE):
        return None
    if isinstance(part, ToolCallPart):
        return {"type": "server_tool_use", "id": part.call, "name": name, "input": decoded_arguments(part.arguments)}
    kind = _TOOL_SEARCH if name.startswith(_TOOL_SEARCH) else name
    return {"type": f"{kind}_tool_result", "tool_use_id": part.call, "content": part.content}


def _image_source(part: ImagePart) -> dict[str, Any]:
    if part.url is not None:
        return {"type": "url", "url": part.url}
    return {"type": "base64", "media_type": part.media_type, "data": part.data}


def _document_source(part: FilePart) -> dict[str, Any]:
    """PDF or text; any text is plain to the API."""
    if part.url is not None:
        return {"type": "url", "url": part.url}
    if part.media_type == "application/pdf":
        return {"type": "base64", "media_type": part.media_type, "data": part.data}
    return {"type": "text", "media_type": "text/plain", "data": binascii.a2b_base64(part.data or "").decode()}
