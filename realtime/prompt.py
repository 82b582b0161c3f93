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


# Each provider takes some; its `check` says which. Other media are files to it, or nothing.
ImageType = Literal["image/png", "image/jpeg", "image/gif", "image/webp"]
# What RFC 6838 calls a restricted name, twice; parameters such as a charset are left out, the text is UTF-8.
MediaType = Annotated[str, Limit(pattern=r"^[a-z]{1,31}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}(?!\n)$")]
# The provider fetches it, never this server. Signed addresses of the large clouds run to 2,000 characters.
Address = Annotated[str, Limit(pattern=r"^https?://[^\s\x00-\x1f\x7f]+(?!\n)$", max_length=8192)]


class TextPart(msgspec.Struct, frozen=True, tag="text", forbid_unknown_fields=True):
    text: str


class ImagePart(msgspec.Struct, frozen=True, tag="image", forbid_unknown_fields=True, omit_defaults=True):
    """An image: exactly one of `url` and `data`.

    Attributes:
        url: http or https; fetched by the provider.
        data: Base64 (RFC 4648, section 4, padded); needs `media_type`.
        detail: How closely the model looks, where it can be told.
    """

    url: Address | None = None
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

    url: Address | None = None
    data: str | None = None
    media_type: MediaType | None = None
    name: Annotated[str, Limit(min_length=1, max_length=256)] | None = None


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


Part = TextPart | ImagePart | FilePart | ReasoningPart | ToolCallPart


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
        provider_tools: Tools the provider itself runs, each an object as that provider's own API has it.
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
    provider_tools: Sequence[dict[str, Any]] = ()
    tool_choice: Literal["auto", "none", "required"] | NamedTool | None = None
    response_format: JsonFormat | None = None
    options: dict[str, Any] = msgspec.field(default_factory=dict)

    def text_length(self) -> int:
        """Characters of all text in it, for an estimate of its tokens."""
        return len(self.system or "") + sum(_length(message) for message in self.messages)

    def media_bytes(self) -> int:
        """Bytes of all images and files in it, decoded; what a provider fetches by its address is not counted."""
        return sum(_decoded_bytes(part) for message in self.messages for part in message.content)


def _length(message: Message) -> int:
    return len(message.content) if isinstance(message.content, str) else sum(map(_part_length, message.content))


def _part_length(part: Part) -> int:
    match part:
        case TextPart() | ReasoningPart():
            return len(part.text)
        case ToolCallPart():
            return len(part.arguments)
    return 0


def _decoded_bytes(part: Part | str) -> int:
    if not isinstance(part, ImagePart | FilePart) or part.data is None:
        return 0
    return len(part.data) // 4 * 3 - part.data[-2:].count("=")
