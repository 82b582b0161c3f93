"""What is asked of a model, in one shape for all providers: the immutable, normalised request.

The shape is close to what most developers know from Chat Completions; each provider maps it to its own. An option that
is None was not given. A provider refuses by name what it cannot honour (`Provider.check`) rather than ignore it.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta as Limit

Role = Literal["system", "user", "assistant", "tool"]

Name = Annotated[str, Limit(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Ident = Annotated[str, Limit(min_length=1, max_length=256)]


class TextPart(msgspec.Struct, frozen=True, tag="text", forbid_unknown_fields=True):
    text: str


class ReasoningPart(msgspec.Struct, frozen=True, tag="reasoning", forbid_unknown_fields=True, omit_defaults=True):
    """Reasoning of an earlier turn, sent back with its seal as some providers demand."""

    text: str = ""
    signature: str | None = None
    redacted: str | None = None


class ToolCallPart(msgspec.Struct, frozen=True, tag="tool_call", forbid_unknown_fields=True):
    """A call an earlier turn made; `arguments` is its JSON text."""

    call: Ident
    name: Name
    arguments: str = "{}"


Part = TextPart | ReasoningPart | ToolCallPart


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One turn. A `tool` message answers the call named in `call`."""

    role: Role
    content: str | tuple[Part, ...] = ()
    call: Ident | None = None
    is_error: bool = False


class Tool(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A function the model may call; `parameters` is a JSON Schema of its arguments."""

    name: Name
    description: str = ""
    parameters: dict[str, Any] = msgspec.field(default_factory=lambda: {"type": "object", "properties": {}})


class NamedTool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Name


class JsonFormat(msgspec.Struct, frozen=True, tag="json", forbid_unknown_fields=True, omit_defaults=True):
    """Ask for JSON; with `schema`, for JSON of that schema."""

    schema: dict[str, Any] | None = None
    name: Name = "answer"


class Prompt(msgspec.Struct, frozen=True):
    """A request as a provider gets it.

    Attributes:
        model: The provider's own name for the model, without the alias.
        messages: At least one; system text is in `system` alone.
        options: Options only one kind of provider has (`demo` faults), each checked by that provider.
    """

    model: str
    messages: Sequence[Message]
    system: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: Sequence[str] = ()
    tools: Sequence[Tool] = ()
    tool_choice: Literal["auto", "none", "required"] | NamedTool | None = None
    response_format: JsonFormat | None = None
    options: dict[str, Any] = msgspec.field(default_factory=dict)

    def text_length(self) -> int:
        """Characters of all text in it, for an estimate of its tokens."""
        return len(self.system or "") + sum(_length(message) for message in self.messages)


def _length(message: Message) -> int:
    if isinstance(message.content, str):
        return len(message.content)
    return sum(len(part.arguments if isinstance(part, ToolCallPart) else part.text) for part in message.content)
