"""The WebSocket route: the handshake, and the sessions as one socket may use them."""

from functools import partial

from realtime.cursor import Cursor
from realtime.errors import RealtimeError
from realtime.log import EventLog
from realtime.observation import Observation
from realtime.principal import Principal
from realtime.request import StartRequest
from transports.asgi import Receive, Scope, Send, problem, query, respond
from transports.subprotocol import JSON_MESSAGES, SUBPROTOCOLS, Subprotocol
from transports.websocket import Socket

from .service import Service

_NO_HANDSHAKE = "This is a WebSocket route: ask with Upgrade: websocket, through proxies that pass it on."


class SocketRoute:
    """`GET /v1/ws`."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service = self._service
        try:
            principal = await service.principal(scope)
            query(scope, ())
            codec, echo = negotiate(scope.get("subprotocols") or [])
            slot = service.reserve()
        except RealtimeError as error:
            await refuse_handshake(error, receive, send)
            return
        with slot:
            socket = Socket(_Actions(service, principal), codec, echo=echo, pulse=service.pulse, bye=service.bye)
            slot.hold(socket)
            short_way = service.short_way(scope)
            await socket.open(receive, send)
            if short_way is None:
                await socket.run(receive, send)
            else:
                short_way.carry_on(partial(socket.run, short_way.receive, short_way.send, short_way), slot.keep())


class NoHandshake:
    """`GET /v1/ws` by one who did not mean to open a WebSocket, or whose proxy took the `Upgrade` out."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        await respond(send, *problem(RealtimeError("bad_request", _NO_HANDSHAKE, field="Upgrade")))


class _Actions:
    """Everything a socket may do, in the name of the one who opened it."""

    def __init__(self, service: Service, principal: Principal) -> None:
        self._service = service
        self._principal = principal

    async def start(self, request: StartRequest, key: str | None) -> tuple[EventLog, bool]:
        started = await self._service.sessions.start(self._principal, request, idempotency_key=key)
        return started.log, started.replayed

    async def find(self, generation: str, cursor: Cursor | None) -> EventLog:
        return await self._service.sessions.find(self._principal, generation, cursor=cursor)

    async def stop(self, generation: str) -> EventLog:
        return (await self._service.sessions.stop(self._principal, generation)).log

    def observe(self, log: EventLog, cursor: Cursor | None) -> Observation:
        return self._service.observe(log, cursor, "ws")


def negotiate(offered: list[str]) -> tuple[Subprotocol, str | None]:
    """The first offered subprotocol that we speak; JSON for a client that offers none.

    Raises:
        RealtimeError: `bad_request`.
    """
    if not offered:
        return JSON_MESSAGES, None
    for name in offered[:16]:
        if name in SUBPROTOCOLS:
            return SUBPROTOCOLS[name], name
    spoken = ", ".join(SUBPROTOCOLS)
    raise RealtimeError("bad_request", f"The subprotocol is one of {spoken}.", field="Sec-WebSocket-Protocol")


async def refuse_handshake(error: RealtimeError, receive: Receive, send: Send) -> None:
    """Answer a handshake with a status and a problem document: a browser shows neither, but a log and `curl` do."""
    await receive()
    status, headers, body = problem(error)
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
