"""A prompt as Chat Completions has it, for OpenAI and for everyone compatible with it.

Reasoning of earlier turns has no place in this wire and is left out of what is sent.
"""

from collections.abc import Mapping
from typing import Any

from ..errors import RealtimeError
from ..prompt import JsonFormat, Message, NamedTool, Prompt, TextPart, ToolCallPart


def check(prompt: Prompt) -> None:
    """Refuse what this wire cannot say.

    Raises:
        RealtimeError: `bad_request` naming the field.
    """
    for name in prompt.options:
        raise RealtimeError("bad_request", f"This provider has no option {name}.", field=f"options.{name}")


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
        "tools": [_tool(tool.name, tool.description, tool.parameters) for tool in prompt.tools] or None,
        "tool_choice": _tool_choice(prompt.tool_choice),
        "response_format": _response_format(prompt.response_format),
    }
    return body | {name: value for name, value in optional.items() if value is not None}


def _messages(prompt: Prompt) -> list[dict[str, Any]]:
    system = [] if prompt.system is None else [{"role": "system", "content": prompt.system}]
    return system + [_message(message) for message in prompt.messages]


def _message(message: Message) -> dict[str, Any]:
    if isinstance(message.content, str):
        sent: dict[str, Any] = {"role": message.role, "content": message.content}
    else:
        texts = [part.text for part in message.content if isinstance(part, TextPart)]
        calls = [_call(part) for part in message.content if isinstance(part, ToolCallPart)]
        # Many compatible servers read a plain string only, and parts have nothing to tell it could not.
        sent = {"role": message.role, "content": "".join(texts) if texts or not calls else None}
        if calls:
            sent["tool_calls"] = calls
    if message.call is not None:
        sent["tool_call_id"] = message.call
    return sent


def _call(part: ToolCallPart) -> dict[str, Any]:
    return {"id": part.call, "type": "function", "function": {"name": part.name, "arguments": part.arguments}}


def _tool(name: str, description: str, parameters: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


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
