"""`GET /v1/conversations/{conversation}/events`, as bare ASGI: observe the active one, wait for it, follow the next."""

import asyncio

from realtime.cursor import Cursor
from realtime.errors import RealtimeError
from realtime.hooks import Leaving
from realtime.log import EventLog
from realtime.principal import Principal
from transports.asgi import Receive, Scope, Send, respond
from transports.codec import Codec
from transports.conversation import follow, starting_log
from transports.http import STREAM_HEADERS, HttpStream
from transports.sse import SSE

from .parameters import conversation_name, flag, seconds
from .service import Service
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
        following = flag(streaming.query, "follow")
        wait_s = seconds(streaming.query, "wait")
        try:
            first = await self._first(principal, name, streaming.options.cursor(), wait_s)
            if first[0] is None and not following:
                await respond(send, 204, list(STREAM_HEADERS))
                return
            await streaming.respond(self._stream(principal, name, streaming, wire, first, following=following))
        except RealtimeError as error:
            await streaming.refuse(error, wire)

    async def _first(
        self, principal: Principal, name: str, cursor: Cursor | None, wait_s: int
    ) -> tuple[EventLog | None, Cursor | None]:
        """Where to begin, after waiting for a generation to start when there is none; raises `draining`."""
        sessions = self._service.sessions
        logs = await sessions.conversation(principal, name)
        first = starting_log(logs, cursor)
        if first[0] is None and wait_s:
            try:
                async with asyncio.timeout(wait_s) as patience:
                    with self._service.held(_Waiting(patience)):
                        await sessions.wait_created(principal, name, logs[-1].meta.generation if logs else None)
            except TimeoutError:
                if sessions.draining:
                    raise RealtimeError("draining", retry_after_s=_RETRY_AFTER_S) from None
                return first
            first = starting_log(await sessions.conversation(principal, name), cursor)
        return first

    def _stream(
        self,
        principal: Principal,
        name: str,
        streaming: Streaming,
        wire: Codec,
        first: tuple[EventLog | None, Cursor | None],
        *,
        following: bool,
    ) -> HttpStream:
        service = self._service

        async def serve_log(stream: HttpStream, log: EventLog, cursor: Cursor | None) -> Leaving:
            return await streaming.serve_log(stream, log, cursor, wire)

        async def serve(stream: HttpStream) -> Leaving:
            log, cursor = first
            if not following and log is not None:
                return await serve_log(stream, log, cursor)
            return await follow(
                stream,
                wire,
                first,
                serve=serve_log,
                wait_created=lambda known: service.sessions.wait_created(principal, name, known),
                logs=lambda: service.sessions.conversation(principal, name),
                bye=service.bye,
            )

        return streaming.open(wire, serve)


class _Waiting:
    """A wait for a conversation's next generation that a farewell ends: none will start here any more."""

    def __init__(self, patience: asyncio.Timeout) -> None:
        self._patience = patience

    def say_bye(self) -> None:
        """See `Leavable`."""
        self._patience.reschedule(asyncio.get_running_loop().time())
