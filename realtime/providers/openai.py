"""Chat Completions, as OpenAI and everyone compatible with it speaks it, through the official SDK."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from ..policy import Deadlines
from ..prompt import Prompt
from .base import ProviderStream
from .chat_request import check, request_body
from .clients import openai_client
from .model_names import ModelNames
from .openai_chunks import ChatTranslator
from .opened import sent
from .upstream import stream, timeout


class OpenAIProvider:
    """See `Provider`.

    Args:
        base_url: Of a compatible server; OpenAI's own when None. See `openai_client`, for `api_version` too.
        max_connections: Streams at once; one more waits for a place until `connect_s` is over.
    """

    def __init__(
        self,
        api_key: str | None,
        base_url: str | None = None,
        *,
        api_version: str | None = None,
        max_connections: int = 1000,
    ) -> None:
        # Azure's is OpenAI's own, under another address.
        self._compatible = base_url is not None and api_version is None
        self._client = openai_client(api_key, base_url, max_connections=max_connections, api_version=api_version)
        # Now, and not with the first request: the SDK imports what it needs for it on first use, for 20 ms.
        self._create = self._client.chat.completions.with_streaming_response.create
        self._models = ModelNames(self._list_models)

    def check(self, prompt: Prompt) -> None:
        check(prompt, compatible=self._compatible)

    def open(self, prompt: Prompt, deadlines: Deadlines) -> AbstractAsyncContextManager[ProviderStream]:
        body = request_body(prompt, compatible=self._compatible)
        return stream(lambda: sent(self._create(**body, timeout=timeout(deadlines))), ChatTranslator(), deadlines)

    async def models(self) -> Sequence[str]:
        return await self._models.get()

    async def close(self) -> None:
        await self._client.close()

    async def _list_models(self) -> Sequence[str]:
        page = await self._client.models.list()
        return [model.id for model in page.data]
