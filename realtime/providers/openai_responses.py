"""The Responses API, as OpenAI and those compatible with it speak it, through the official SDK."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, suppress

import openai

from ..errors import RealtimeError
from ..policy import Deadlines
from ..prompt import Prompt
from ..tasks import TaskRegistry
from .base import ProviderStream
from .clients import openai_client
from .faults import mapped
from .model_names import ModelNames
from .opened import Response, sent
from .responses_background import background
from .responses_chunks import ResponsesTranslator
from .responses_request import check, request_body
from .upstream import stream, timeout

# For calling a response off, with what the SDK tries again.
_CALL_OFF_S = 5.0
_CALL_OFF_RETRIES = 2


class OpenAIResponsesProvider:
    """See `Provider`. Nothing is stored at the provider, but in the background.

    Args:
        base_url: Of a compatible server; OpenAI's own when None. See `openai_client`, for `api_version` too.
        background: Have answers run on at the provider, and stored there for it: a connection to it that drops is
            made good, and a stop is a call of its own. A response whose id was not heard yet cannot be stopped so,
            and the first token comes later.
        max_connections: Streams at once; one more waits for a place until `connect_s` is over.
    """

    def __init__(
        self,
        api_key: str | None,
        base_url: str | None = None,
        *,
        api_version: str | None = None,
        background: bool = False,
        max_connections: int = 1000,
    ) -> None:
        self._compatible = base_url is not None
        self._client = openai_client(api_key, base_url, max_connections=max_connections, api_version=api_version)
        # Now, and not with the first request: the SDK imports what it needs for it on first use.
        self._responses = self._client.responses.with_streaming_response
        self._background = background
        self._models = ModelNames(self._list_models)
        self._tasks = TaskRegistry()
        # Models that have nothing to include, as they have said.
        self._plain: set[str] = set()

    def check(self, prompt: Prompt) -> None:
        check(prompt, compatible=self._compatible)

    def open(self, prompt: Prompt, deadlines: Deadlines) -> AbstractAsyncContextManager[ProviderStream]:
        translator = ResponsesTranslator()
        if not self._background:
            return stream(lambda: self._create(prompt, deadlines), translator, deadlines)
        return background(
            lambda: self._create(prompt, deadlines),
            lambda response_id, sequence: sent(
                self._responses.retrieve(response_id, stream=True, starting_after=sequence, timeout=timeout(deadlines))
            ),
            self._call_off,
            translator,
            deadlines=deadlines,
            tasks=self._tasks,
        )

    async def models(self) -> Sequence[str]:
        return await self._models.get()

    async def close(self) -> None:
        await self._tasks.drain(_CALL_OFF_S)
        await self._client.close()

    async def _create(self, prompt: Prompt, deadlines: Deadlines) -> Response:
        """Make the request, a second time for a model that does not reason and so refuses to include that.

        Which models those are changes with every release, and no list of them can be asked for. Nothing was generated
        by a request that is refused.
        """
        try:
            return await self._send(prompt, deadlines, include=prompt.model not in self._plain)
        except openai.BadRequestError as error:
            if error.param != "include" or prompt.model in self._plain:
                raise
        self._plain.add(prompt.model)
        return await self._send(prompt, deadlines, include=False)

    async def _send(self, prompt: Prompt, deadlines: Deadlines, *, include: bool) -> Response:
        body = request_body(prompt, background=self._background, include=include)
        return await sent(self._responses.create(**body, timeout=timeout(deadlines)))

    async def _call_off(self, response_id: str) -> None:
        with suppress(RealtimeError), mapped():
            async with asyncio.timeout(_CALL_OFF_S):
                await self._client.with_options(max_retries=_CALL_OFF_RETRIES).responses.cancel(response_id)

    async def _list_models(self) -> Sequence[str]:
        page = await self._client.models.list()
        return [model.id for model in page.data]
