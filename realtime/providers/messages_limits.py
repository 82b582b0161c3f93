"""What Anthropic's API is known to refuse, found before it is asked: so the refusal names the caller's own field."""

import re
from collections import Counter

from ..errors import RealtimeError
from ..prompt import FilePart, ImagePart, NamedTool, Part, Prompt, TextPart, ToolCallPart
from .call_order import check_calls
from .messages_blocks import blocks_of, decoded_arguments

# "image exceeds 10 MB maximum", of its base64. It was 5 MB until 2026, and may still be for some models.
_IMAGE_CHARS = 10 * 1024 * 1024
# "Request exceeds the maximum size", 32 MB: of all base64 here, which is nearly all of a request that large.
_MEDIA_CHARS = 32 * 1024 * 1024
_CALL_ID = re.compile("[A-Za-z0-9_-]+")


def check_limits(prompt: Prompt) -> None:
    """Refuse a prompt that the API would.

    Raises:
        RealtimeError: `bad_request` or `too_large`, naming the field.
    """
    _check_tools(prompt)
    for index, stop in enumerate(prompt.stop):
        if not stop.strip():
            raise RealtimeError("bad_request", "Anthropic's API takes no blank stop.", field=f"stop[{index}]")
    for place, message in prompt.placed():
        for index, part in enumerate(message.parts):
            _check_part(part, message.role, f"{place}.content[{index}]")
        if message.is_error and not any(not isinstance(part, TextPart) or part.text.strip() for part in message.parts):
            raise RealtimeError("bad_request", "A tool that failed says why.", field=f"{place}.content")
    if prompt.media_bytes() * 4 // 3 > _MEDIA_CHARS:
        sentence = f"The images and files are over {_MEDIA_CHARS} characters of base64."
        raise RealtimeError("too_large", sentence, field="messages", limit=_MEDIA_CHARS)
    check_calls(prompt, ids_once=True)
    _check_last(prompt)


def _check_tools(prompt: Prompt) -> None:
    names = Counter([tool.name for tool in prompt.tools])
    names.update(name for tool in prompt.provider_tools if isinstance(name := tool.get("name"), str))
    if any(count > 1 for count in names.values()):
        raise RealtimeError("bad_request", "Two tools have one name.", field="tools")
    choice = prompt.tool_choice
    if choice == "required" and not (prompt.tools or prompt.provider_tools):
        raise RealtimeError("bad_request", "tool_choice needs tools.", field="tool_choice")
    if isinstance(choice, NamedTool) and choice.name not in names:
        raise RealtimeError("bad_request", "tool_choice names none of the tools.", field="tool_choice.name")


def _check_part(part: Part, role: str, place: str) -> None:
    match part:
        case ImagePart():
            _check_image(part, place)
        case FilePart() if role != "assistant":
            _check_file(part, f"{place}.media_type")
        case ToolCallPart() if not part.provider_run:
            _check_call(part, place)


def _check_image(part: ImagePart, place: str) -> None:
    if part.detail not in {None, "auto"}:
        raise RealtimeError("bad_request", "Anthropic's API has no detail of an image.", field=f"{place}.detail")
    if part.data is not None and len(part.data) > _IMAGE_CHARS:
        sentence = f"{place} is over {_IMAGE_CHARS} characters of base64."
        raise RealtimeError("too_large", sentence, field=f"{place}.data", limit=_IMAGE_CHARS)


def _check_file(part: FilePart, field: str) -> None:
    """A URL without a type is taken for a PDF, the only one that the API fetches."""
    kind = part.media_type or "application/pdf"
    if kind != "application/pdf" and (part.url is not None or not kind.startswith("text/")):
        raise RealtimeError("bad_request", "Anthropic's API takes PDF, and text in data.", field=field)


def _check_call(part: ToolCallPart, place: str) -> None:
    if not isinstance(decoded_arguments(part.arguments), dict):
        raise RealtimeError("bad_request", "The arguments of this call are no object.", field=f"{place}.arguments")
    if not _CALL_ID.fullmatch(part.call):
        sentence = "The id of a call is of letters, digits, _ and - to Anthropic's API."
        raise RealtimeError("bad_request", sentence, field=f"{place}.call")


def _check_last(prompt: Prompt) -> None:
    """An answer to go on with may not end in a space."""
    *_, (place, last) = prompt.placed()
    said = blocks_of(last, unfinished=True) if last.role == "assistant" else []
    if said and said[-1]["type"] == "text" and said[-1]["text"][-1:].isspace():
        raise RealtimeError("bad_request", "The last message ends in a space.", field=f"{place}.content")
