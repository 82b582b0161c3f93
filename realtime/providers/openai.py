"""Chat Completions, as OpenAI and everyone compatible with it speaks it, through the official SDK."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import openai

from ..policy import Deadlines
from ..prompt import Prompt
from .address import split_credentials
from .base import ProviderStream
from .chat_request import check, request_body
from .clients import http_options
from .model_names import ModelNames
from .openai_chunks import ChatTranslator
from .upstream import stream, timeout

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
            http_client=openai.DefaultAsyncHttpxClient(**http_options(url, max_connections)),
        )
        if self._compatible:
            # The SDK takes them from the environment, and they are nobody else's business.
            self._client.organization = self._client.project = None
        # Now, and not with the first request: the SDK imports what it needs for it on first use, for 20 ms.
        self._create = self._client.chat.completions.with_streaming_response.create
        self._models = ModelNames(self._list_models)

    def check(self, prompt: Prompt) -> None:
        check(prompt, compatible=self._compatible)

    def open(self, prompt: Prompt, deadlines: Deadlines) -> AbstractAsyncContextManager[ProviderStream]:
        body = request_body(prompt, compatible=self._compatible)
        return stream(lambda: self._create(**body, timeout=timeout(deadlines)), ChatTranslator(), deadlines)

    async def models(self) -> Sequence[str]:
        return await self._models.get()

    async def close(self) -> None:
        await self._client.close()

    async def _list_models(self) -> Sequence[str]:
        page = await self._client.models.list()
        return [model.id for model in page.data]
