"""A prompt as the Responses API has it.

What has no place in this wire is left out of what is sent: tools that a provider ran in earlier turns, whether a tool
failed (its words say so), reasoning that another provider sealed or nobody did, and what an answer held for people.
"""

import mimetypes
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ..errors import RealtimeError
from ..prompt import (
    ExtraPart,
    FilePart,
    ImagePart,
    JsonFormat,
    Message,
    NamedTool,
    Part,
    Prompt,
    ReasoningPart,
    RefusalPart,
    TextPart,
    Tool,
    ToolCallPart,
)
from .call_order import check_calls
from .responses_items import sealed
from .responses_own import OwnCall, check_results, own_calls, own_result

# What a tool of the provider's says only when it is asked to, by the type of the tool.
_RESULTS = {
    "web_search": "web_search_call.action.sources",
    "file_search": "file_search_call.results",
    "code_interpreter": "code_interpreter_call.outputs",
}

# Items of an answer that have no type of ours and mean something to the next.
_RETURNED = frozenset({"compaction", "mcp_list_tools", "mcp_approval_request", "mcp_approval_response"})


def check(prompt: Prompt, *, compatible: bool) -> None:
    """Refuse what this API cannot do, and what OpenAI is known to answer with 400.

    Args:
        compatible: For another server than OpenAI's, which may be less strict.

    Raises:
        RealtimeError: `bad_request` naming the field.
    """
    for name in prompt.options:
        raise RealtimeError("bad_request", f"This provider has no option {name}.", field=f"options.{name}")
    if prompt.stop:
        raise RealtimeError("bad_request", "The Responses API has no stop sequences.", field="stop")
    if not compatible:
        check_calls(prompt, ids_once=False)
    check_results(prompt, compatible=compatible)


def request_body(prompt: Prompt, *, background: bool, include: bool) -> dict[str, Any]:
    """The request as the Responses API has it.

    Args:
        background: Have it run on without us, which only what is stored does.
        include: Ask for what is left out unless it is asked for: sealed reasoning, and what tools have found.
    """
    body: dict[str, Any] = {
        "model": prompt.model,
        "input": list(_items(prompt)),
        "stream": True,
        "store": background,
    }
    optional: Mapping[str, Any] = {
        "background": background or None,
        "include": _included(prompt) if include else None,
        "instructions": prompt.system,
        "max_output_tokens": prompt.max_tokens,
        "temperature": prompt.temperature,
        "top_p": prompt.top_p,
        "tools": [*map(_tool, prompt.tools), *prompt.provider_tools] or None,
        "tool_choice": _tool_choice(prompt.tool_choice),
        "text": _text(prompt.response_format),
    }
    return body | {name: value for name, value in optional.items() if value is not None}


def _included(prompt: Prompt) -> list[str]:
    kinds = (tool.get("type") for tool in prompt.provider_tools)
    return ["reasoning.encrypted_content", *(_RESULTS[kind] for kind in kinds if kind in _RESULTS)]


def _items(prompt: Prompt) -> Iterator[dict[str, Any]]:
    custom: set[str] = set()
    own: dict[str, OwnCall] = {}
    for message in prompt.messages:
        if message.role == "assistant":
            custom |= {part.call for part in message.parts if isinstance(part, ToolCallPart) and _is_custom(part)}
            own |= own_calls(message)
            yield from _answer(message, own)
        elif message.call in own:
            yield own_result(own[message.call], message)
        elif message.role == "tool":
            kind = "custom_tool_call_output" if message.call in custom else "function_call_output"
            yield {"type": kind, "call_id": message.call, "output": _content(message)}
        else:
            yield {"role": message.role, "content": _content(message)}


def _answer(message: Message, own: Mapping[str, OwnCall]) -> Iterator[dict[str, Any]]:
    """The items of an earlier answer.

    The API refuses reasoning without the item it led to, so it goes where that goes.
    """
    reasoning: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, ReasoningPart):
            if (seal := sealed(part.signature)) is not None:
                summary = [{"type": "summary_text", "text": part.text}] if part.text else []
                reasoning.append({"type": "reasoning", "id": seal[0], "summary": summary, "encrypted_content": seal[1]})
        elif isinstance(part, ToolCallPart) and part.provider_run:
            reasoning = []
        elif (item := _said(part, own)) is not None:
            yield from (*reasoning, item)
            reasoning = []


def _said(part: Part, own: Mapping[str, OwnCall]) -> dict[str, Any] | None:
    match part:
        case ToolCallPart(call=call) if call in own:
            return dict(own[call].item)
        case TextPart() | RefusalPart():
            return {"role": "assistant", "content": part.text} if part.text else None
        case ToolCallPart() if _is_custom(part):
            asked = msgspec.json.decode(part.arguments)
            return {"type": "custom_tool_call", "call_id": part.call, "name": part.name, "input": asked}
        case ToolCallPart():
            return {"type": "function_call", "call_id": part.call, "name": part.name, "arguments": part.arguments}
        case ExtraPart(kind=kind, value={"type": same}) if kind == same and kind in _RETURNED:
            return dict(part.value)
    return None


def _is_custom(part: ToolCallPart) -> bool:
    """A function's arguments are an object; a JSON string is the free text that a custom tool takes."""
    try:
        return isinstance(msgspec.json.decode(part.arguments), str)
    except msgspec.DecodeError:
        return False


def _content(message: Message) -> str | list[dict[str, Any]]:
    if all(isinstance(part, TextPart) for part in message.parts):
        # Some compatible servers read a plain string only.
        return "".join(part.text for part in message.parts if isinstance(part, TextPart))
    return [sent for part in message.parts if (sent := _content_part(part)) is not None]


def _content_part(part: Part) -> dict[str, Any] | None:
    """What a user or a tool sends; None for text that is empty."""
    match part:
        case ImagePart():
            return {"type": "input_image", "image_url": part.url or _data_url(part), "detail": part.detail or "auto"}
        case FilePart(url=str(url)):
            return {"type": "input_file", "file_url": url}
        case FilePart():
            # OpenAI wants a name, and looks at how it ends.
            name = part.name or "file" + (mimetypes.guess_extension(part.media_type or "") or "")
            return {"type": "input_file", "filename": name, "file_data": _data_url(part)}
        case TextPart() if part.text:
            return {"type": "input_text", "text": part.text}
    return None


def _data_url(part: ImagePart | FilePart) -> str:
    return f"data:{part.media_type};base64,{part.data}"


def _tool(tool: Tool) -> dict[str, Any]:
    # Unlike Chat Completions, this API is strict unless it is told not to be, and then takes only some schemas.
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": False,
    }


def _tool_choice(choice: str | NamedTool | None) -> str | dict[str, Any] | None:
    return {"type": "function", "name": choice.name} if isinstance(choice, NamedTool) else choice


def _text(asked: JsonFormat | None) -> dict[str, Any] | None:
    if asked is None:
        return None
    if asked.schema is None:
        return {"format": {"type": "json_object"}}
    return {"format": {"type": "json_schema", "name": asked.name, "schema": asked.schema}}
