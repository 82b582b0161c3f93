"""A prompt as Anthropic's Messages API has it.

What has no place in this wire is left out of what is sent: refusals, which here are the API's words and not the
model's; what another provider reasoned or ran; and what an answer held for people.
"""

from typing import Any

import anthropic

from ..errors import RealtimeError
from ..prompt import NamedTool, Prompt
from .messages_blocks import blocks_of, result_of, shortened
from .messages_limits import check_limits

# The API demands a limit. This one fits every model it serves, and an answer to a question asked without thought.
_MAX_TOKENS = 4096

_TOOL_CHOICES = {"auto": "auto", "none": "none", "required": "any"}


def check(prompt: Prompt) -> None:
    """Refuse what this API cannot do, and what it is known to answer with 400.

    Raises:
        RealtimeError: `bad_request` or `too_large`, naming the field.
    """
    for name in prompt.options:
        raise RealtimeError("bad_request", f"This provider has no option {name}.", field=f"options.{name}")
    for name in ("temperature", "top_p"):
        if getattr(prompt, name) is not None:
            raise RealtimeError("bad_request", f"Anthropic's API takes no {name} any more.", field=name)
    check_limits(prompt)
    _output_config(prompt)


def request_body(prompt: Prompt) -> dict[str, Any]:
    """The request as the Messages API has it."""
    body: dict[str, Any] = {
        "model": prompt.model,
        "messages": _messages(prompt),
        "max_tokens": prompt.max_tokens or _MAX_TOKENS,
        "stream": True,
    }
    tools = [
        {"name": tool.name, "description": tool.description, "input_schema": tool.parameters} for tool in prompt.tools
    ]
    optional = {
        "system": prompt.system or None,
        "stop_sequences": list(prompt.stop) or None,
        "tools": [*tools, *prompt.provider_tools] or None,
        "tool_choice": _tool_choice(prompt.tool_choice),
        "output_config": _output_config(prompt),
    }
    return body | {name: value for name, value in optional.items() if value is not None}


def _messages(prompt: Prompt) -> list[dict[str, Any]]:
    """Turns as the API has them: roles alternate, and the results of one turn's calls begin the user's next."""
    turns: list[tuple[str, list[dict[str, Any]]]] = []
    for message in prompt.messages:
        role = "assistant" if message.role == "assistant" else "user"
        unfinished = message is prompt.messages[-1]
        blocks = [result_of(message)] if message.role == "tool" else blocks_of(message, unfinished=unfinished)
        if turns and turns[-1][0] == role:
            turns[-1][1].extend(blocks)
        elif blocks:
            # Else it is an answer of which nothing has a place here.
            turns.append((role, blocks))
    return [{"role": role, "content": shortened(blocks)} for role, blocks in turns]


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
