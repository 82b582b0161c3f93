"""The streaming routes, as bare ASGI: start, observe, and observe a conversation.

They are not FastAPI endpoints because those cost twice the memory and a third more CPU per delivery; so each
authenticates by itself, and `openapi.py` describes them by hand.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec

from realtime.cursor import Cursor
from realtime.errors import RealtimeError
from realtime.hooks import Leaving
from realtime.log import EventLog
from realtime.manager import Start
from realtime.principal import Principal
from realtime.request import CONVERSATION_FORM, StartRequest
from realtime.strict import convert
from transports.asgi import NO_STORE, Headers, Receive, Scope, Send, header, query, read_json, respond
from transports.codec import Codec, json_line
from transports.commands import IDEMPOTENCY_KEY_FORM
from transports.conversation import follow, starting_log
from transports.http import STREAM_HEADERS, HttpStream, serve_observation
from transports.options import ObserveOptions, read_options
from transports.sse import SSE
from transports.wire import accepted_wire, accepts_json, named_wire

from .resources import base_path, resource, wait_finished, wait_preference
from .service import Service

OPTIONS = ("after", "replay", "view", "pace", "flush_ms")
# A conversation may be waited for this long before its first byte; proxies give up at about a minute.
MAX_WAIT_S = 60
_RETRY_AFTER_S = 5.0
_COME_BACK: dict[str, Literal["draining", "overloaded"]] = {"draining": "draining", "overloaded": "overloaded"}


Serve = Callable[[HttpStream], Awaitable[Leaving]]


class Streaming:
    """One request that is, or may be, answered by a stream."""

    def __init__(self, service: Service, scope: Scope, receive: Receive, send: Send, allowed: tuple[str, ...]) -> None:
        self._service = service
        self._scope, self._receive, self._send = scope, receive, send
        self.query = query(scope, ("wire", *OPTIONS, *allowed))
        self._options: ObserveOptions | None = None

    def wire(self, default: Codec | None) -> Codec | None:
        """The wire that `?wire=` or Accept asks for, else `default`.

        Raises:
            RealtimeError: `bad_request`, or `not_acceptable` when Accept allows neither a wire nor JSON.
        """
        if "wire" in self.query:
            return named_wire(self.query["wire"])
        accept = header(self._scope, b"accept") or ""
        wire = accepted_wire(accept)
        if wire is None and not accepts_json(accept) and "text/*" not in accept:
            raise RealtimeError("not_acceptable", field="Accept")
        return wire or default

    @property
    def options(self) -> ObserveOptions:
        """How the observer wants to be served; raises `bad_request` or `bad_cursor`."""
        if self._options is None:
            asked = {key: value for key, value in self.query.items() if key in OPTIONS}
            self._options = read_options(asked, header(self._scope, b"last-event-id"))
        return self._options

    async def log(self, log: EventLog, codec: Codec, headers: Headers | None = None) -> None:
        """Answer with the events of one log; 204 to one who has them all."""
        cursor = self.options.cursor()
        if cursor is not None and log.finished is not None and str(cursor) == log.cursor:
            await respond(self._send, 204, [*STREAM_HEADERS, *(headers or [])])
            return

        async def serve(stream: HttpStream) -> Leaving:
            return await self.serve_log(stream, log, cursor, codec)

        await self.respond(self.open(codec, serve, headers))

    async def serve_log(self, stream: HttpStream, log: EventLog, cursor: Cursor | None, codec: Codec) -> Leaving:
        """Serve one log over an open stream."""
        service = self._service
        observation = service.observe(log, cursor, codec.name)
        return await serve_observation(stream, observation, codec, self.options, pulse=service.pulse, bye=service.bye)

    def open(self, codec: Codec, serve: Serve, headers: Headers | None = None) -> HttpStream:
        """A stream with this server's settings."""
        service = self._service
        service.refuse_when_full()
        return HttpStream(codec, serve, pulse=service.pulse, retry_ms=service.limits.retry_ms, headers=headers)

    async def respond(self, stream: HttpStream) -> None:
        """Serve a stream to its end."""
        with self._service.held(stream):
            await stream(self._scope, self._receive, self._send)

    async def refuse(self, error: RealtimeError, wire: Codec) -> None:
        """Refuse an observer. Any other status than 200 closes an `EventSource` for good, so one that only came at a
        bad time is told, on the stream, to come back."""
        if error.code not in _COME_BACK or wire is not SSE:
            raise error
        bye = msgspec.structs.replace(self._service.bye(), reason=_COME_BACK[error.code])
        headers = [(b"content-type", SSE.content_type), *STREAM_HEADERS]
        await respond(self._send, 200, headers, SSE.preamble(bye.retry_ms) + SSE.control(bye))


class StartRoute:
    """`POST /v1/generations`."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service = self._service
        principal = await service.principal(scope)
        streaming = Streaming(service, scope, receive, send, ())
        wire, key = streaming.wire(None), _idempotency_key(scope)
        # Refused even where the answer is no stream: what is misspelt should not wait for the next request to show.
        streaming.options.cursor()
        limits = service.limits
        try:
            body = await read_json(scope, receive, limit_bytes=limits.body_bytes, deadline_s=limits.body_deadline_s)
        except ConnectionResetError:
            return
        request = convert(body, StartRequest)
        if wire is None and request.stream:
            wire = SSE
        if wire is not None:
            service.refuse_when_full()
        started = await service.sessions.start(principal, request, idempotency_key=key)
        headers = _start_headers(scope, started)
        if wire is not None:
            await streaming.log(started.log, wire, headers)
        else:
            await self._answer(scope, send, started, headers)

    async def _answer(self, scope: Scope, send: Send, started: Start, headers: Headers) -> None:
        wait_s = wait_preference(scope)
        if wait_s is not None:
            await wait_finished(started.log, wait_s)
            headers.append((b"preference-applied", f"wait={wait_s}".encode()))
        body = json_line(resource(started.log, base_path(scope), whole=wait_s is not None))
        content_type = (b"content-type", b"application/json")
        await respond(send, 200 if started.replayed else 201, [content_type, NO_STORE, *headers], body)


class EventsRoute:
    """`GET /v1/generations/{id}/events`."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal = await self._service.principal(scope)
        streaming = Streaming(self._service, scope, receive, send, ())
        wire = streaming.wire(SSE) or SSE
        log = await self._service.sessions.find(principal, scope["path_params"]["generation"])
        try:
            await streaming.log(log, wire)
        except RealtimeError as error:
            await streaming.refuse(error, wire)


class ConversationEventsRoute:
    """`GET /v1/conversations/{conversation}/events`."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal = await self._service.principal(scope)
        streaming = Streaming(self._service, scope, receive, send, ("wait", "follow"))
        wire = streaming.wire(SSE) or SSE
        name = conversation_name(scope["path_params"]["conversation"])
        following = _flag(streaming.query, "follow")
        wait_s = _seconds(streaming.query, "wait")
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


def conversation_name(name: str) -> str:
    """Check a conversation's name from a path; raises `bad_request`."""
    if re.fullmatch(CONVERSATION_FORM.strip("^$"), name, re.ASCII) is None:
        raise RealtimeError("bad_request", "A conversation is named by [A-Za-z0-9._:-]{1,128}.", field="conversation")
    return name


def _start_headers(scope: Scope, started: Start) -> Headers:
    location = f"{base_path(scope)}/v1/generations/{started.log.meta.generation}"
    headers: Headers = [(b"location", location.encode())]
    if started.replayed:
        headers.append((b"idempotent-replayed", b"true"))
    return headers


def _idempotency_key(scope: Scope) -> str | None:
    key = header(scope, b"idempotency-key")
    if key is not None and re.fullmatch(IDEMPOTENCY_KEY_FORM.strip("^$"), key, re.ASCII) is None:
        raise RealtimeError(
            "bad_request", "Idempotency-Key is 1 to 255 printable ASCII characters.", field="Idempotency-Key", limit=255
        )
    return key


def _flag(values: dict[str, str], name: str) -> bool:
    value = values.get(name, "0")
    if value not in ("0", "1"):
        raise RealtimeError("bad_request", f"{name} is 0 or 1.", field=name)
    return value == "1"


def _seconds(values: dict[str, str], name: str) -> int:
    value = values.get(name, "0")
    if not (value.isascii() and value.isdigit() and len(value) <= 3 and int(value) <= MAX_WAIT_S):
        raise RealtimeError(
            "bad_request", f"{name} is a whole number of seconds, at most {MAX_WAIT_S}.", field=name, limit=MAX_WAIT_S
        )
    return int(value)
