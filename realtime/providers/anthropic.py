"""Messages, as Anthropic speaks it, through the official SDK."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import anthropic

from ..policy import Deadlines
from ..prompt import Prompt
from .address import split_credentials
from .anthropic_chunks import MessagesTranslator
from .base import ProviderStream
from .clients import http_options
from .messages_request import check, request_body
from .model_names import ModelNames
from .opened import sent
from .upstream import stream, timeout

_ANTHROPIC_URL = "https://api.anthropic.com"


class AnthropicProvider:
    """See `Provider`.

    Args:
        base_url: Of a proxy; Anthropic's own when None. A user and password in it are sent beside the key.
        max_connections: Streams at once; one more waits for a place until `connect_s` is over.
    """

    def __init__(self, api_key: str, base_url: str | None = None, *, max_connections: int = 1000) -> None:
        url, credentials = split_credentials(base_url or _ANTHROPIC_URL)
        self._client = anthropic.AsyncAnthropic(
            api_key=api_key,
            base_url=url,
            max_retries=0,
            default_headers={"Accept-Encoding": "identity", **credentials},
            http_client=anthropic.DefaultAsyncHttpxClient(**http_options(url, max_connections)),
            open_telemetry=False,
        )
        # See `OpenAIProvider`.
        self._create = self._client.messages.with_streaming_response.create
        self._models = ModelNames(self._list_models)

    def check(self, prompt: Prompt) -> None:
        check(prompt)

    def open(self, prompt: Prompt, deadlines: Deadlines) -> AbstractAsyncContextManager[ProviderStream]:
        body = request_body(prompt)
        return stream(lambda: sent(self._create(**body, timeout=timeout(deadlines))), MessagesTranslator(), deadlines)

    async def models(self) -> Sequence[str]:
        return await self._models.get()

    async def close(self) -> None:
        await self._client.close()

    async def _list_models(self) -> Sequence[str]:
        page = await self._client.models.list(limit=1000)
        return [model.id for model in page.data]
