"""Request and answer over HTTP, repeated while that is safe and may help.

Everything the client asks for can be asked twice: reads, a stop, a start because it carries a key, and an erase because
what a repeat does not find any more is gone, which is all that was asked for.
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, TypeVar

import httpx2
import msgspec

from .backoff import Patience
from .errors import DroppedError, ProtocolError, UnreachableError, refusal

T = TypeVar("T")


class Calls:
    """Makes calls to one server.

    Args:
        tries: How often to ask in all.
        patience: Makes the waits of one call.
    """

    def __init__(
        self,
        http: httpx2.AsyncClient,
        *,
        tries: int,
        patience: Callable[[], Patience],
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        self._http = http
        self._tries = tries
        self._patience = patience
        self._sleep = sleep

    async def call(self, method: str, path: str, **request: Any) -> httpx2.Response:
        """Ask until there is an answer.

        Raises:
            RefusedError: The answer is no.
            UnreachableError: None of the tries brought one.
        """
        patience = self._patience()
        for left in reversed(range(self._tries)):
            is_repeat = left < self._tries - 1
            try:
                return await self._once(method, path, request, may_be_gone=is_repeat and method == "DELETE")
            except DroppedError as dropped:
                if not left:
                    raise UnreachableError(str(dropped)) from dropped
                wait_s = patience.wait_s(dropped)
            await self._sleep(wait_s)
        raise AssertionError("at least one try is made")

    async def read(self, to: type[T], method: str, path: str, **request: Any) -> T:
        """Ask, and read the JSON of the answer as `to`.

        Raises:
            ProtocolError: It is something else; and what `call` raises.
        """
        return decode(await self.call(method, path, **request), to)

    async def _once(self, method: str, path: str, request: dict[str, Any], *, may_be_gone: bool) -> httpx2.Response:
        try:
            response = await self._http.request(method, path, **request)
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            raise DroppedError(str(error) or type(error).__name__) from error
        if response.is_success or (may_be_gone and response.status_code == HTTPStatus.NOT_FOUND):
            return response
        raise refusal(response.status_code, response.content, response.headers.get("Retry-After"))


def decode(response: httpx2.Response, to: type[T]) -> T:
    """Read the JSON of an answer as `to`, or raise `ProtocolError`."""
    try:
        return msgspec.json.decode(response.content, type=to)
    except ValueError as error:
        raise ProtocolError(f"the answer is not a {to.__name__} of this protocol: {error}") from error
