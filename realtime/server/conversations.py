"""`GET /v1/conversations/{conversation}/events`, as bare ASGI: observe the active one, wait for it, follow the next."""

import asyncio
from collections.abc import Callable
from functools import partial

from realtime.cursor import Cursor
from realtime.errors import RealtimeError
from realtime.hooks import Leaving
from realtime.log import EventLog
from realtime.principal import Principal
from transports.asgi import Receive, Scope, Send, disconnected, respond
from transports.codec import Codec
from transports.conversation import Beginning, beginning, beginning_after, follow
from transports.http import STREAM_HEADERS, HttpStream
from transports.sse import SSE

from .parameters import conversation_name, flag, seconds
from .service import Service
from .slots import Slot
from .streaming import Streaming

_RETRY_AFTER_S = 5.0


class ConversationEventsRoute:
    """See the module."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal = await self._service.principal(scope)
        streaming = Streaming(self._service, scope, receive, send, ("wait", "follow"))
        wire = streaming.wire(SSE) or SSE
        name = conversation_name(scope["path_params"]["conversation"])
        request = _Request(self._service, principal, name, streaming, wire)
        try:
            if not await request.answer(receive):
                await respond(send, 204, list(STREAM_HEADERS))
        except RealtimeError as error:
            await streaming.refuse(error, wire)
        except ConnectionResetError:
            return


class _Request:
    """One request for a conversation's events."""

    def __init__(self, service: Service, principal: Principal, name: str, streaming: Streaming, wire: Codec) -> None:
        self._service, self._principal, self._name = service, principal, name
        self._streaming, self._wire = streaming, wire
        self._following = flag(streaming.query, "follow")
        self._wait_s = seconds(streaming.query, "wait")
        self._cursor = streaming.options.cursor()

    async def answer(self, receive: Receive) -> bool:
        """Answer with a stream; False when there is nothing to stream. Raises `ConnectionResetError` for one who left
        while waiting, and else what refuses it."""
        streaming = self._streaming
        first = await self._begin(lambda logs: beginning(logs, self._cursor))
        if streaming.head_only:
            if first.log is not None or self._following:
                await streaming.head(self._wire)
            return first.log is not None or self._following
        if first.log is None and not self._following and not self._wait_s:
            return False
        with self._service.reserve() as slot:
            if first.log is None and self._wait_s and await self._created(first.latest, receive, slot):
                earlier = first
                first = await self._begin(lambda logs: beginning_after(earlier, logs, self._cursor))
            if first.log is None and not self._following:
                return False
            if first.log is not None:
                streaming.refuse_reset(first.log, first.cursor, self._wire)
            await streaming.respond(slot, self._stream(first))
        return True

    async def _begin(self, settle: Callable[[list[EventLog]], Beginning]) -> Beginning:
        """Where to begin, with the log itself."""
        while (first := settle(await self._logs())).log is not None:
            try:
                return first._replace(log=await self._whole(first.log, first.cursor))
            except RealtimeError as error:
                if error.code != "not_found":
                    raise
                # It has gone since it was listed.
        return first

    async def _whole(self, log: EventLog, cursor: Cursor | None) -> EventLog:
        """A log to be read, of one that was listed."""
        return await self._service.sessions.find(self._principal, log.meta.generation, cursor=cursor)

    async def _logs(self) -> list[EventLog]:
        return list(await self._service.sessions.conversation(self._principal, self._name))

    async def _wait_created(self, known: str | None) -> None:
        await self._service.sessions.wait_created(self._principal, self._name, known)

    async def _created(self, known: str | None, receive: Receive, slot: Slot) -> bool:
        """Wait for a generation to start; False when the time is over. Raises `draining`, or `ConnectionResetError`
        when the client hangs up: it must not become an observer that nobody reads."""
        created, left = asyncio.ensure_future(self._wait_created(known)), asyncio.ensure_future(disconnected(receive))
        waiting = _Waiting()
        slot.hold(waiting)
        every = {created, left, waiting.told}
        try:
            await asyncio.wait(every, timeout=self._wait_s, return_when=asyncio.FIRST_COMPLETED)
            if left.done():
                raise ConnectionResetError
            if created.done():
                created.result()
                return True
            if waiting.told.done() or self._service.sessions.draining:
                raise RealtimeError("draining", retry_after_s=_RETRY_AFTER_S)
            return False
        finally:
            for future in every:
                future.cancel()

    def _stream(self, first: Beginning) -> HttpStream:
        serve_log = self._streaming.serve_log(self._wire)
        log, cursor, _ = first
        if not self._following and log is not None:
            return self._streaming.open(self._wire, lambda stream: serve_log(stream, log, cursor))

        async def serve_whole(stream: HttpStream, log: EventLog, cursor: Cursor | None) -> Leaving:
            return await serve_log(stream, await self._whole(log, cursor), cursor)

        serve = partial(
            follow,
            codec=self._wire,
            first=first,
            serve=serve_whole,
            wait_created=self._wait_created,
            logs=self._logs,
            bye=self._service.bye,
        )
        return self._streaming.open(self._wire, serve)


class _Waiting:
    """A wait for a conversation's next generation that a farewell ends: none will start here any more."""

    def __init__(self) -> None:
        self.told: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def say_bye(self) -> None:
        """See `Leavable`."""
        if not self.told.done():
            self.told.set_result(None)
