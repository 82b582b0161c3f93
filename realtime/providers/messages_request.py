"""A prompt as Anthropic's Messages API has it."""

from collections.abc import Sequence
from typing import Any

import anthropic
import msgspec

from ..errors import RealtimeError
from ..prompt import Message, NamedTool, Part, Prompt, ReasoningPart, TextPart, ToolCallPart

# The API demands a limit. This one fits every model it serves, and an answer to a question asked without thought.
_MAX_TOKENS = 4096

_TOOL_CHOICES = {"auto": "auto", "none": "none", "required": "any"}


def check(prompt: Prompt) -> None:
    """Refuse what this API cannot do.

    Raises:
        RealtimeError: `bad_request` naming the field.
    """
    for name in prompt.options:
        raise RealtimeError("bad_request", f"This provider has no option {name}.", field=f"options.{name}")
    for name in ("temperature", "top_p"):
        if getattr(prompt, name) is not None:
            raise RealtimeError("bad_request", f"Anthropic's API takes no {name} any more.", field=name)
    for index, message in enumerate(prompt.messages):
        for part in () if isinstance(message.content, str) else message.content:
            if isinstance(part, ToolCallPart) and not isinstance(_parsed(part.arguments), dict):
                field = f"messages[{index}].content"
                raise RealtimeError("bad_request", f"The arguments of call {part.call} are no object.", field=field)
    _output_config(prompt)


def request_body(prompt: Prompt) -> dict[str, Any]:
    """The request as the Messages API has it."""
    body: dict[str, Any] = {
        "model": prompt.model,
        "messages": _messages(prompt.messages),
        "max_tokens": prompt.max_tokens or _MAX_TOKENS,
        "stream": True,
    }
    optional = {
        "system": prompt.system,
        "stop_sequences": list(prompt.stop) or None,
        "tools": [
            {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
            for tool in prompt.tools
        ]
        or None,
        "tool_choice": _tool_choice(prompt.tool_choice),
        "output_config": _output_config(prompt),
    }
    return body | {name: value for name, value in optional.items() if value is not None}


def _messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Turns as the API has them: results of one turn's calls belong in one user message."""
    sent: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for message in messages:
        if message.role != "tool":
            results = []
            sent.append({"role": message.role, "content": _content(message)})
            continue
        if not results:
            sent.append({"role": "user", "content": results})
        results.append(_tool_result(message))
    return sent


def _tool_result(message: Message) -> dict[str, Any]:
    result = {"type": "tool_result", "tool_use_id": message.call, "content": _content(message)}
    return result | {"is_error": True} if message.is_error else result


def _content(message: Message) -> str | list[dict[str, Any]]:
    if isinstance(message.content, str):
        return message.content
    return [block for part in message.content if (block := _block(part)) is not None]


def _block(part: Part) -> dict[str, Any] | None:
    """One content block; None for what the API refuses: empty text, and reasoning that it did not seal itself."""
    match part:
        case TextPart():
            return {"type": "text", "text": part.text} if part.text else None
        case ToolCallPart():
            return {"type": "tool_use", "id": part.call, "name": part.name, "input": _parsed(part.arguments)}
        case ReasoningPart(redacted=str(data)):
            return {"type": "redacted_thinking", "data": data}
        case ReasoningPart(signature=str(signature)):
            return {"type": "thinking", "thinking": part.text, "signature": signature}
    return None


def _parsed(arguments: str) -> Any:
    try:
        return msgspec.json.decode(arguments or "{}")
    except msgspec.DecodeError:
        return None


def _tool_choice(choice: str | NamedTool | None) -> dict[str, Any] | None:
    if choice is None:
        return None
    return {"type": "tool", "name": choice.name} if isinstance(choice, NamedTool) else {"type": _TOOL_CHOICES[choice]}


def _output_config(prompt: Prompt) -> dict[str, Any] | None:
    """Structured output, in the part of JSON Schema that the API takes; the SDK knows which that is.

    Raises:
        RealtimeError: `bad_request` when it cannot be had.
    """
    asked = prompt.response_format
    if asked is None:
        return None
    if asked.schema is None:
        message = "Anthropic's API gives JSON for a schema only."
        raise RealtimeError("bad_request", message, field="response_format.schema")
    try:
        schema = anthropic.transform_schema(asked.schema)
    except (ValueError, TypeError, AttributeError, AssertionError):
        message = "Anthropic's API does not take this schema."
        raise RealtimeError("bad_request", message, field="response_format.schema") from None
    return {"format": {"type": "json_schema", "schema": schema}}
