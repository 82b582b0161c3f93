"""A prompt as Chat Completions has it, for OpenAI and for everyone compatible with it.

What has no place in this wire is left out of what is sent: reasoning of earlier turns, tools that a provider ran in
them, whether a tool failed (its words say so), and what an answer held for people.
"""

import mimetypes
from collections.abc import Mapping
from typing import Any

from ..errors import RealtimeError
from ..prompt import (
    FilePart,
    ImagePart,
    JsonFormat,
    Message,
    NamedTool,
    Part,
    Prompt,
    RefusalPart,
    TextPart,
    Tool,
    ToolCallPart,
)
from .call_order import check_calls

# "Up to 4 sequences", says the SDK of `stop`.
_MOST_STOPS = 4


def check(prompt: Prompt, *, compatible: bool) -> None:
    """Refuse what this wire cannot say, and what OpenAI is known to answer with 400.

    Args:
        compatible: For another server than OpenAI's, which may be less strict, or run tools of its own.

    Raises:
        RealtimeError: `bad_request` naming the field.
    """
    for name in prompt.options:
        raise RealtimeError("bad_request", f"This provider has no option {name}.", field=f"options.{name}")
    for place, message in prompt.placed():
        for index, part in enumerate(message.parts):
            _check_part(part, message.role, f"{place}.content[{index}]")
    if not compatible:
        _check_strictly(prompt)


def _check_strictly(prompt: Prompt) -> None:
    if prompt.provider_tools:
        message = "OpenAI runs no tools of its own in Chat Completions."
        raise RealtimeError("bad_request", message, field="provider_tools[0]")
    if len(prompt.stop) > _MOST_STOPS:
        message = f"OpenAI takes at most {_MOST_STOPS} stop sequences."
        raise RealtimeError("bad_request", message, field="stop", limit=_MOST_STOPS)
    if prompt.tool_choice is not None and not prompt.tools:
        raise RealtimeError("bad_request", "tool_choice needs tools.", field="tool_choice")
    check_calls(prompt, ids_once=False)


def _check_part(part: Part, role: str, place: str) -> None:
    if role == "assistant" or not isinstance(part, ImagePart | FilePart):
        return
    if role == "tool":
        raise RealtimeError("bad_request", "Chat Completions takes only text as a tool's result.", field=place)
    if isinstance(part, FilePart) and part.url is not None:
        message = "Chat Completions fetches no files; send the file in data."
        raise RealtimeError("bad_request", message, field=f"{place}.url")


def request_body(prompt: Prompt, *, compatible: bool) -> dict[str, Any]:
    """The request as Chat Completions has it.

    Args:
        compatible: For another server than OpenAI's: its newer names of things are not understood there.
    """
    body: dict[str, Any] = {
        "model": prompt.model,
        "messages": _messages(prompt),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    optional: Mapping[str, Any] = {
        "max_tokens" if compatible else "max_completion_tokens": prompt.max_tokens,
        "temperature": prompt.temperature,
        "top_p": prompt.top_p,
        "stop": list(prompt.stop) or None,
        "tools": [*map(_tool, prompt.tools), *prompt.provider_tools] or None,
        "tool_choice": _tool_choice(prompt.tool_choice),
        "response_format": _response_format(prompt.response_format),
    }
    return body | {name: value for name, value in optional.items() if value is not None}


def _messages(prompt: Prompt) -> list[dict[str, Any]]:
    system = [] if prompt.system is None else [{"role": "system", "content": prompt.system}]
    return system + [_message(message) for message in prompt.messages]


def _message(message: Message) -> dict[str, Any]:
    calls = [_call(part) for part in message.parts if isinstance(part, ToolCallPart) and not part.provider_run]
    sent: dict[str, Any] = {"role": message.role, "content": _content(message)}
    if calls:
        sent |= {"content": sent["content"] or None, "tool_calls": calls}
    if message.call is not None:
        sent["tool_call_id"] = message.call
    return sent


def _content(message: Message) -> str | list[dict[str, Any]]:
    if message.role == "user" and any(isinstance(part, ImagePart | FilePart) for part in message.parts):
        return [sent for part in message.parts if (sent := _content_part(part)) is not None]
    # Many compatible servers read a plain string only, and parts have nothing to tell it could not. A refusal is what
    # was said, too.
    return "".join(part.text for part in message.parts if isinstance(part, TextPart | RefusalPart))


def _content_part(part: Part) -> dict[str, Any] | None:
    """What a user sends; None for text that is empty."""
    match part:
        case ImagePart():
            image = {"url": part.url or _data_url(part), "detail": part.detail}
            return {"type": "image_url", "image_url": {name: value for name, value in image.items() if value}}
        case FilePart():
            return {"type": "file", "file": {"filename": _file_name(part), "file_data": _data_url(part)}}
        case TextPart() if part.text:
            return {"type": "text", "text": part.text}
    return None


def _data_url(part: ImagePart | FilePart) -> str:
    return f"data:{part.media_type};base64,{part.data}"


def _file_name(part: FilePart) -> str:
    """OpenAI wants a name, and looks at how it ends."""
    return part.name or "file" + (mimetypes.guess_extension(part.media_type or "") or "")


def _call(part: ToolCallPart) -> dict[str, Any]:
    # A tool without arguments may have been called without any text, and templates of open models parse it.
    function = {"name": part.name, "arguments": part.arguments or "{}"}
    return {"id": part.call, "type": "function", "function": function}


def _tool(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def _tool_choice(choice: str | NamedTool | None) -> str | dict[str, Any] | None:
    if isinstance(choice, NamedTool):
        return {"type": "function", "function": {"name": choice.name}}
    return choice


def _response_format(asked: JsonFormat | None) -> dict[str, Any] | None:
    if asked is None:
        return None
    if asked.schema is None:
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": {"name": asked.name, "schema": asked.schema}}
