"""Messages, as Anthropic and the clouds that offer its models speak it, through the official SDK."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import anthropic

from ..policy import Deadlines
from ..prompt import Prompt
from .address import split_credentials
from .anthropic_chunks import MessagesTranslator
from .base import ProviderStream
from .clients import http_options
from .event_stream import Splitter
from .messages_request import check, request_body
from .model_names import ModelNames
from .opened import Response, sent
from .upstream import Framing, stream, timeout

_ANTHROPIC_URL = "https://api.anthropic.com"

_Client = anthropic.AsyncAnthropic | anthropic.AsyncAnthropicBedrock | anthropic.AsyncAnthropicVertex


class MessagesProvider:
    """See `Provider`; by one of the SDK's clients.

    Args:
        framing: Makes what takes the events out of a stream's bytes.
    """

    def __init__(self, client: _Client, framing: Callable[[], Framing] = Splitter) -> None:
        self._client = client
        self._framing = framing
        # See `OpenAIProvider`.
        self._create = client.messages.with_streaming_response.create
        self._models = ModelNames(self._list_models)

    def check(self, prompt: Prompt) -> None:
        check(prompt)

    def open(self, prompt: Prompt, deadlines: Deadlines) -> AbstractAsyncContextManager[ProviderStream]:
        return stream(lambda: self._send(prompt, deadlines), MessagesTranslator(), deadlines, self._framing())

    async def models(self) -> Sequence[str]:
        return await self._models.get()

    async def close(self) -> None:
        await self._client.close()

    async def _send(self, prompt: Prompt, deadlines: Deadlines) -> Response:
        return await sent(self._create(**request_body(prompt), timeout=timeout(deadlines)))

    async def _list_models(self) -> Sequence[str]:
        if not isinstance(self._client, anthropic.AsyncAnthropic):
            # The clouds list what they offer by APIs of their own.
            return ()
        page = await self._client.models.list(limit=1000)
        return [model.id for model in page.data]


class AnthropicProvider(MessagesProvider):
    """See `Provider`; at Anthropic.

    Args:
        base_url: Of a proxy; Anthropic's own when None. A user and password in it are sent beside the key.
        max_connections: Streams at once; one more waits for a place until `connect_s` is over.
    """

    def __init__(self, api_key: str, base_url: str | None = None, *, max_connections: int = 1000) -> None:
        url, credentials = split_credentials(base_url or _ANTHROPIC_URL)
        super().__init__(
            anthropic.AsyncAnthropic(
                api_key=api_key, base_url=url, **client_options(url, max_connections, headers=credentials)
            )
        )


def client_options(url: str, max_connections: int, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """What every client of the SDK is given: it tries nothing again, and tells nobody else."""
    return {
        "max_retries": 0,
        "default_headers": {"Accept-Encoding": "identity", **(headers or {})},
        "http_client": anthropic.DefaultAsyncHttpxClient(**http_options(url, max_connections)),
        "open_telemetry": False,
    }
