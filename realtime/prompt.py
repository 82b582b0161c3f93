"""What is asked of a model, in one shape for all providers: the immutable, normalised request.

The shape is close to what most developers know from Chat Completions; each provider maps it to its own. An option that
is None was not given. A provider refuses by name what it cannot honour (`Provider.check`) rather than ignore it.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta as Limit

Role = Literal["system", "user", "assistant", "tool"]

Name = Annotated[str, Limit(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Ident = Annotated[str, Limit(min_length=1, max_length=256)]


# What all providers that see can read.
ImageType = Literal["image/png", "image/jpeg", "image/gif", "image/webp"]


class TextPart(msgspec.Struct, frozen=True, tag="text", forbid_unknown_fields=True):
    text: str


class ImagePart(msgspec.Struct, frozen=True, tag="image", forbid_unknown_fields=True, omit_defaults=True):
    """An image: exactly one of `url` and `data`.

    Attributes:
        url: http or https; fetched by the provider.
        data: Base64 (RFC 4648, section 4, padded); needs `media_type`.
        detail: How closely the model looks, where it can be told.
    """

    url: str | None = None
    data: str | None = None
    media_type: ImageType | None = None
    detail: Literal["auto", "low", "high"] | None = None


class FilePart(msgspec.Struct, frozen=True, tag="file", forbid_unknown_fields=True, omit_defaults=True):
    """A document such as `application/pdf` or `text/plain`: exactly one of `url` and `data`.

    Attributes:
        url: http or https; fetched by the provider.
        data: Base64 (RFC 4648, section 4, padded), of UTF-8 where it is text; needs `media_type`.
        name: What the model is told it is called.
    """

    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    name: str | None = None


class ReasoningPart(msgspec.Struct, frozen=True, tag="reasoning", forbid_unknown_fields=True, omit_defaults=True):
    """Reasoning of an earlier turn, sent back with its seal as some providers demand."""

    text: str = ""
    signature: str | None = None
    redacted: str | None = None


class RefusalPart(msgspec.Struct, frozen=True, tag="refusal", forbid_unknown_fields=True):
    """Words of an earlier turn for why it would not answer."""

    text: str


class ToolCallPart(msgspec.Struct, frozen=True, tag="tool_call", forbid_unknown_fields=True, omit_defaults=True):
    """A call an earlier turn made; `arguments` is its JSON text, `provider_run` as in the event."""

    call: Ident
    name: Name
    arguments: str = "{}"
    provider_run: bool = False


class ToolResultPart(msgspec.Struct, frozen=True, tag="tool_result", forbid_unknown_fields=True, omit_defaults=True):
    """The result of a tool that the provider ran in an earlier turn; what the caller ran is a `tool` message."""

    call: Ident
    content: Any
    is_error: bool = False


class SourcePart(msgspec.Struct, frozen=True, tag="source", forbid_unknown_fields=True, omit_defaults=True):
    """A citation of an earlier turn."""

    url: str | None = None
    title: str | None = None
    part: int = 0
    detail: Any = None


class DataPart(msgspec.Struct, frozen=True, tag="data", forbid_unknown_fields=True):
    """Data of an earlier turn, which is for people and not for models."""

    name: str
    value: Any


class ExtraPart(msgspec.Struct, frozen=True, tag="extra", forbid_unknown_fields=True):
    """A part of an earlier turn that has no type here."""

    kind: str
    value: Any


# All that an answer can hold is among them, so that it can be sent back as it came.
Part = (
    TextPart
    | ImagePart
    | FilePart
    | ReasoningPart
    | RefusalPart
    | ToolCallPart
    | ToolResultPart
    | SourcePart
    | DataPart
    | ExtraPart
)


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One turn.

    Attributes:
        content: Of the user and of a tool: text, images and files. Of the assistant: the parts of an earlier answer.
        call: In a `tool` message, and in no other, the call that it answers.
        is_error: Whether the tool failed.
    """

    role: Role
    content: str | tuple[Part, ...] = ()
    call: Ident | None = None
    is_error: bool = False

    @property
    def parts(self) -> tuple[Part, ...]:
        """The content, where plain text is one part."""
        return (TextPart(self.content),) if isinstance(self.content, str) else self.content


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
        provider_tools: Tools the provider itself runs, each an object as that provider's own API has it.
        options: Options only one kind of provider has (`demo` faults), each checked by that provider.
        skipped: Messages the caller sent before these: 1 when the first was the system text. Refusals count it in.
    """

    model: str
    messages: Sequence[Message]
    system: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: Sequence[str] = ()
    tools: Sequence[Tool] = ()
    provider_tools: Sequence[dict[str, Any]] = ()
    tool_choice: Literal["auto", "none", "required"] | NamedTool | None = None
    response_format: JsonFormat | None = None
    options: dict[str, Any] = msgspec.field(default_factory=dict)
    skipped: int = 0

    def placed(self) -> Iterator[tuple[str, Message]]:
        """Each message with its path in the request, for refusals."""
        for index, message in enumerate(self.messages, self.skipped):
            yield f"messages[{index}]", message

    def text_length(self) -> int:
        """Characters of all text in it, for an estimate of its tokens."""
        return len(self.system or "") + sum(_text_length(part) for message in self.messages for part in message.parts)

    def media_bytes(self) -> int:
        """Bytes of all images and files in it, decoded; what a provider fetches by its address is not counted."""
        return sum(_media_bytes(part) for message in self.messages for part in message.parts)


def _text_length(part: Part) -> int:
    match part:
        case TextPart() | ReasoningPart() | RefusalPart():
            return len(part.text)
        case ToolCallPart():
            return len(part.arguments)
        case ToolResultPart():
            return len(msgspec.json.encode(part.content))
    return 0


def _media_bytes(part: Part) -> int:
    if not isinstance(part, ImagePart | FilePart) or part.data is None:
        return 0
    return len(part.data) // 4 * 3 - part.data[-2:].count("=")
