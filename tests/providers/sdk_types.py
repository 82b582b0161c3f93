"""Whether an SDK's own parameter types take a request: no field missing, none of a wrong type, none that it has not."""

from typing import Any

from anthropic.types.message_create_params import MessageCreateParamsStreaming
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
from pydantic import BaseModel, TypeAdapter

MESSAGES: TypeAdapter[Any] = TypeAdapter(MessageCreateParamsStreaming)
CHAT: TypeAdapter[Any] = TypeAdapter(CompletionCreateParamsStreaming)


def assert_accepted(params: TypeAdapter[Any], body: dict[str, Any]) -> None:
    """Raise unless the types know all of the body. Pydantic drops what they do not know, so nothing may be missing."""
    assert _read(params.validate_python(body)) == body


def _read(value: Any) -> Any:
    """Everything in it: an `Iterable` is validated only while it is read, and blocks may be the SDK's answers too."""
    if isinstance(value, BaseModel):
        value = value.model_dump(exclude_unset=True)
    if isinstance(value, dict):
        return {name: _read(inner) for name, inner in value.items()}
    if value is None or isinstance(value, str | int | float):
        return value
    return [_read(inner) for inner in value]
