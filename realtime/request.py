"""What a caller may ask for when it starts a generation, with every limit in the type.

This one struct is the body of `POST /v1/generations`, the `request` of a WebSocket `start`, and the argument of
`SessionManager.start`; its schema is what `/docs` shows.
"""

import hashlib
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta as Limit

from .errors import RealtimeError
from .media import MAX_MEDIA_BYTES, check_media_bytes
from .prompt import JsonFormat, Message, NamedTool, Prompt, Tool
from .provider_tools import ALLOWED, check_provider_tools
from .turns import check_message

# "<provider>/<model>", or an alias; a model name may itself hold slashes and colons (`ollama/library/llama3:8b`). The
# look-ahead is because Python's `$` would also match before a line end.
MODEL_FORM = r"^[a-z0-9][a-z0-9_-]{0,31}(/[^\s\x00-\x1f]{1,200})?(?!\n)$"
CONVERSATION_FORM = r"^[A-Za-z0-9._:-]{1,128}(?!\n)$"

Model = Annotated[
    str,
    Limit(pattern=MODEL_FORM, description="`<provider>/<model>`, or an alias for several", examples=["demo/default"]),
]
Conversation = Annotated[str, Limit(pattern=CONVERSATION_FORM)]
Seconds = Annotated[float, Limit(gt=0, le=86_400)]

MAX_MESSAGES = 1024
MAX_METADATA_BYTES = 4096


class DeadlinesRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Seconds, each at most the server's own."""

    connect: Seconds | None = None
    first_event: Seconds | None = None
    idle: Seconds | None = None
    total: Seconds | None = None


class StartRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What to generate, and how. Exactly one of `messages` and `prompt` is given.

    Attributes:
        messages: The turns so far, oldest first; the first may be a system message.
        prompt: Short for one user message.
        system: Instructions to the model, instead of a system message.
        max_tokens: Of the answer; the provider's own limit without it.
        stop: Texts that end the answer where they would begin.
        tools: What the model may call.
        provider_tools: Tools the provider itself runs, each an object with a `type`, as that provider's own API has it.
        response_format: Without it the answer is text.
        options: What this provider alone understands.
        conversation: A name of the caller's choosing for generations that belong together; it stores no history.
        if_busy: What to do when the conversation has an active generation.
        on_disconnect: What happens when the last observer has been gone for `grace`; the server's setting without it.
        metadata: Any JSON object of up to 4 KiB, repeated in `started` and wherever the generation is shown.
        retain: `window` keeps only what observers still need, for feeds longer than a log may be.
        stream: Answer with the stream itself.
    """

    model: Model
    messages: Annotated[tuple[Message, ...], Limit(max_length=MAX_MESSAGES)] = ()
    prompt: str | None = None
    system: str | None = None
    max_tokens: Annotated[int, Limit(ge=1, le=1_000_000)] | None = None
    temperature: Annotated[float, Limit(ge=0, le=2)] | None = None
    top_p: Annotated[float, Limit(gt=0, le=1)] | None = None
    stop: Annotated[tuple[Annotated[str, Limit(min_length=1, max_length=256)], ...], Limit(max_length=16)] = ()
    tools: Annotated[tuple[Tool, ...], Limit(max_length=128)] = ()
    provider_tools: Annotated[tuple[dict[str, Any], ...], Limit(max_length=32)] = ()
    tool_choice: Literal["auto", "none", "required"] | NamedTool | None = None
    response_format: JsonFormat | None = None
    options: dict[str, Any] = msgspec.field(default_factory=dict)
    conversation: Conversation | None = None
    if_busy: Literal["reject", "replace", "allow"] = "reject"
    on_disconnect: Literal["stop", "continue"] | None = None
    grace: Annotated[float, Limit(ge=0, le=3600, description="Seconds without an observer before a stop")] | None = None
    deadlines: DeadlinesRequest = DeadlinesRequest()
    metadata: dict[str, Any] | None = None
    retain: Literal["all", "window"] = "all"
    stream: bool = False

    @property
    def provider(self) -> str:
        """The alias before the first slash of `model`."""
        return self.model.partition("/")[0]

    def to_prompt(self, *, allowed_tools: tuple[str, ...] = ALLOWED, max_media_bytes: int = MAX_MEDIA_BYTES) -> Prompt:
        """The part of the request that a provider sees.

        Args:
            allowed_tools: See `check_provider_tools`.
            max_media_bytes: Of all images and files, decoded.

        Raises:
            RealtimeError: `bad_request` or `too_large`, naming the field.
        """
        messages = self._messages()
        system = self.system
        if messages[0].role == "system":
            if system is not None:
                raise RealtimeError("bad_request", "Give system or a first system message, not both.", field="system")
            if not isinstance(messages[0].content, str):
                raise RealtimeError("bad_request", "A system message is plain text.", field="messages[0].content")
            system, messages = messages[0].content, messages[1:]
        if not messages:
            raise RealtimeError("bad_request", "messages holds nothing but a system message.", field="messages")
        prompt = Prompt(
            model=self.model.partition("/")[2],
            messages=messages,
            system=system,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            stop=self.stop,
            tools=self.tools,
            provider_tools=self.provider_tools,
            tool_choice=self.tool_choice,
            response_format=self.response_format,
            options=self.options,
            skipped=len(self.messages) - len(messages) if self.messages else 0,
        )
        check_provider_tools(self.provider_tools, allowed_tools)
        check_media_bytes(prompt, max_media_bytes)
        for place, message in prompt.placed():
            check_message(message, place)
        return prompt

    def fingerprint(self) -> bytes:
        """Equal for requests that ask for the same, however their JSON was written.

        Where the answer is to be sent (`stream`) is not part of what is asked.
        """
        plain = msgspec.structs.replace(self, stream=False)
        return hashlib.sha256(msgspec.json.encode(plain, order="deterministic")).digest()

    def _messages(self) -> tuple[Message, ...]:
        if self.prompt is not None:
            if self.messages:
                raise RealtimeError("bad_request", "Give prompt or messages, not both.", field="prompt")
            if not self.prompt.strip():
                raise RealtimeError("bad_request", "prompt is empty.", field="prompt")
            return (Message("user", self.prompt),)
        if not self.messages:
            raise RealtimeError("bad_request", "Give a prompt, or at least one message.", field="messages")
        return self.messages
