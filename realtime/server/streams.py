"""The routes that start and observe a generation, as bare ASGI.

They are not FastAPI endpoints because those cost twice the memory and a third more CPU per delivery; so each
authenticates by itself, and `openapi.py` describes them by hand.
"""

from realtime.errors import RealtimeError
from realtime.manager import Start
from realtime.request import StartRequest
from realtime.strict import convert
from transports.asgi import NO_STORE, Headers, Receive, Scope, Send, read_json, respond
from transports.codec import json_line
from transports.sse import SSE

from .parameters import idempotency_key
from .resources import mount_path, resource, wait_finished, wait_preference
from .service import Service
from .streaming import Streaming


class StartRoute:
    """`POST /v1/generations`."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service = self._service
        principal = await service.principal(scope)
        streaming = Streaming(service, scope, receive, send, ())
        wire, key = streaming.wire(None), idempotency_key(scope)
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
        if wire is None:
            started = await service.sessions.start(principal, request, idempotency_key=key)
            await self._answer(scope, receive, send, started, _start_headers(scope, started))
            return
        # The room is taken first: who is refused must not have started anything.
        with service.reserve() as slot:
            started = await service.sessions.start(principal, request, idempotency_key=key)
            headers = _start_headers(scope, started)
            if not await streaming.answered(started.log, wire, headers):
                await streaming.log(slot, started.log, wire, headers)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, started: Start, headers: Headers) -> None:
        wait_s = wait_preference(scope)
        if wait_s is not None:
            await wait_finished(started.log, receive, wait_s)
            headers.append((b"preference-applied", f"wait={wait_s}".encode()))
        body = json_line(resource(started.log, mount_path(scope), whole=wait_s is not None))
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
        try:
            cursor = streaming.options.cursor()
            log = await self._service.sessions.find(principal, scope["path_params"]["generation"], cursor=cursor)
            streaming.refuse_reset(log, cursor, wire)
            if not await streaming.answered(log, wire):
                with self._service.reserve() as slot:
                    await streaming.log(slot, log, wire)
        except RealtimeError as error:
            await streaming.refuse(error, wire)


def _start_headers(scope: Scope, started: Start) -> Headers:
    # The path came percent-decoded, and a header must not.
    location = f"{mount_path(scope)}/v1/generations/{started.log.meta.generation}"
    headers: Headers = [(b"location", location.encode())]
    if started.replayed:
        headers.append((b"idempotent-replayed", b"true"))
    return headers
