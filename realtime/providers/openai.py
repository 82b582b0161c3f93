"""Chat Completions, as OpenAI and everyone compatible with it speaks it, through the official SDK.

Reasoning of earlier turns has no place in this wire and is left out of what is sent.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import openai

from ..errors import RealtimeError
from ..policy import Deadlines
from ..prompt import JsonFormat, Message, NamedTool, Prompt, TextPart, ToolCallPart
from .address import split_credentials
from .base import ProviderStream
from .model_names import ModelNames
from .openai_chunks import ChatTranslator
from .upstream import limits, stream, timeout

_OPENAI_URL = "https://api.openai.com/v1"
# The SDK demands a key; a local server does not. Never the environment's: it belongs to OpenAI, not to that server.
_NO_KEY = "unused"


class OpenAIProvider:
    """See `Provider`.

    Args:
        base_url: Of a compatible server; OpenAI's own when None. A user and password in it are sent, in place of the
            key: a request has one Authorization header, and who wrote them there has a proxy that wants them.
        max_connections: Streams at once; one more waits for a place until `connect_s` is over.
    """

    def __init__(self, api_key: str | None, base_url: str | None = None, *, max_connections: int = 1000) -> None:
        self._compatible = base_url is not None
        url, credentials = split_credentials(base_url or _OPENAI_URL)
        self._client = openai.AsyncOpenAI(
            api_key=api_key or _NO_KEY,
            base_url=url,
            max_retries=0,
            default_headers={"Accept-Encoding": "identity", **credentials},
            http_client=openai.DefaultAioHttpClient(limits=limits(max_connections), follow_redirects=False),
        )
        if self._compatible:
            # The SDK takes them from the environment, and they are nobody else's business.
            self._client.organization = self._client.project = None
        # Now, and not with the first request: the SDK imports what it needs for it on first use, for 20 ms.
        self._create = self._client.chat.completions.with_streaming_response.create
        self._models = ModelNames(self._list_models)

    def check(self, prompt: Prompt) -> None:
        for name in prompt.options:
            raise RealtimeError("bad_request", f"This provider has no option {name}.", field=f"options.{name}")

    def open(self, prompt: Prompt, deadlines: Deadlines) -> ProviderStream:
        body = request_body(prompt, compatible=self._compatible)
        return stream(lambda: self._create(**body, timeout=timeout(deadlines)), ChatTranslator(), deadlines)

    async def models(self) -> Sequence[str]:
        return await self._models.get()

    async def close(self) -> None:
        await self._client.close()

    async def _list_models(self) -> Sequence[str]:
        page = await self._client.models.list()
        return [model.id for model in page.data]


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
