"""Which models a provider has, as far as is known."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from ..errors import RealtimeError
from .faults import mapped

_MODELS_TIMEOUT_S = 3.0
_MODELS_KEPT_S = 300.0
_MODELS_RETRY_S = 15.0


class ModelNames:
    """The names of a provider's models, asked for seldom and never waited for long."""

    def __init__(self, fetch: Callable[[], Awaitable[Sequence[str]]]) -> None:
        self._fetch = fetch
        self._names: Sequence[str] = ()
        self._fresh_until = 0.0
        self._lock = asyncio.Lock()

    async def get(self) -> Sequence[str]:
        """The names, some minutes old at most; the last known ones, or none, when the provider does not answer."""
        now = asyncio.get_running_loop().time
        async with self._lock:
            if now() >= self._fresh_until:
                kept_s = _MODELS_RETRY_S
                with suppress(RealtimeError), mapped():
                    async with asyncio.timeout(_MODELS_TIMEOUT_S):
                        self._names = tuple(await self._fetch())
                    kept_s = _MODELS_KEPT_S
                self._fresh_until = now() + kept_s
        return self._names
