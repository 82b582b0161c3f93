"""An answer that runs on at the provider, whatever becomes of the connection it is read from.

The provider keeps a background response for some minutes with all its events, which are numbered. So a connection that
drops is not the end of it: another one goes on behind the last event that was seen, and the session hears nothing of
it. The other side is that a closed connection stops nothing: who leaves before the end has to call it off.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from ..errors import RealtimeError
from ..policy import Deadlines
from ..tasks import TaskRegistry
from .base import Take
from .opened import Request, Response
from .responses_chunks import ResponsesTranslator
from .upstream import Answer, stream

# Connections in a row that brought nothing new before it is given up.
_MOST_IN_VAIN = 6
# The first pause is below this, each further one may be twice as long.
_PAUSE_S = 0.25
_MAX_PAUSE_S = 8.0
# What a stop waits for the provider to hear of it. The call itself goes on behind that.
_PATIENCE_S = 2.0

# How a connection is lost, as against what the provider says on it.
_LOST = ("upstream_truncated", "upstream_unreachable")

Attach = Callable[[str, int], Awaitable[Response]]
"""Asks for the events of a response behind the one of this number."""


@asynccontextmanager
async def background(
    create: Request,
    attach: Attach,
    call_off: Callable[[str], Coroutine[Any, Any, None]],
    translator: ResponsesTranslator,
    *,
    deadlines: Deadlines,
    tasks: TaskRegistry,
) -> AsyncGenerator["BackgroundAnswer"]:
    """Make the request and give its answer. Leaving before its end calls it off, if its id was heard by then.

    Args:
        call_off: Ends a response at the provider; raises nothing and takes a bounded time.
        tasks: Owns that call, which a stop waits for only a little.
    """
    answer: BackgroundAnswer | None = None
    try:
        async with AsyncExitStack() as connection:
            first = await connection.enter_async_context(stream(create, translator, deadlines))
            answer = BackgroundAnswer(first, connection, attach, translator, deadlines)
            yield answer
    finally:
        left = translator.response_id
        if answer is not None and not translator.done and not answer.gone and left is not None:
            # A task of its own: whoever cancels us again does not cancel it.
            await asyncio.wait({tasks.spawn(call_off(left), f"call off {left}")}, timeout=_PATIENCE_S)


class BackgroundAnswer:
    """See `ProviderStream`.

    Attributes:
        gone: The provider has it no more.
    """

    def __init__(
        self,
        first: Answer,
        connection: AsyncExitStack,
        attach: Attach,
        translator: ResponsesTranslator,
        deadlines: Deadlines,
    ) -> None:
        self.gone = False
        self._answer = first
        self._connection = connection
        self._attach = attach
        self._translator = translator
        self._deadlines = deadlines

    async def run(self, take: Take) -> None:
        """See `ProviderStream`."""
        translator, in_vain = self._translator, 0
        while True:
            seen = translator.sequence
            try:
                await self._answer.run(take)
            except RealtimeError as error:
                if not self._is_lost(error):
                    raise
            if translator.done:
                return
            if translator.response_id is None or translator.sequence is None:
                raise RealtimeError("upstream_truncated")
            in_vain = 0 if translator.sequence != seen else in_vain
            in_vain = await self._reattach(translator.response_id, translator.sequence, in_vain)

    def _is_lost(self, error: RealtimeError) -> bool:
        return error.code in _LOST and not self._translator.done

    async def _reattach(self, response_id: str, sequence: int, in_vain: int) -> int:
        """Have another connection behind the last event that was seen, and give the number of those in vain, this one
        included.

        Raises:
            RealtimeError: `upstream_truncated` when there is none to be had.
        """
        asked_s = 0.0
        while in_vain < _MOST_IN_VAIN:
            await self._connection.aclose()
            await asyncio.sleep(max(asked_s, random.uniform(0, min(_MAX_PAUSE_S, _PAUSE_S * 2**in_vain))))  # noqa: S311
            in_vain += 1
            request = stream(lambda: self._attach(response_id, sequence), self._translator, self._deadlines)
            try:
                self._answer = await self._connection.enter_async_context(request)
            except RealtimeError as error:
                self.gone = error.code == "upstream_not_found"
                if not error.error.retryable:
                    break
                asked_s = error.error.retry_after_s or 0.0
            else:
                self._translator.resume()
                return in_vain
        raise RealtimeError("upstream_truncated")
