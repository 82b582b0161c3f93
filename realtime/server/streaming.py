"""A request that is, or may be, answered by a stream: which wire, which options, and the response itself."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal

import msgspec

from realtime.cursor import Cursor
from realtime.errors import RealtimeError
from realtime.hooks import Leaving
from realtime.log import EventLog
from transports.asgi import Headers, Receive, Scope, Send, header, query, respond
from transports.codec import Codec
from transports.conversation import ServeLog
from transports.http import STREAM_HEADERS, HttpStream, serve_observation
from transports.options import ObserveOptions, read_options
from transports.sse import SSE
from transports.wire import accepted_wire, accepts_json, named_wire

from .service import Service
from .slots import Slot

OPTIONS = ("after", "replay", "view", "pace", "flush_ms")
_COME_BACK: dict[str, Literal["draining", "overloaded"]] = {
    "draining": "draining",
    "overloaded": "overloaded",
    "bus_unavailable": "overloaded",
    "bus_full": "overloaded",
}

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

    @property
    def head_only(self) -> bool:
        """Whether it is a `HEAD`, which starlette lets through where there is a `GET`: nobody to observe anything."""
        return bool(self._scope["method"] == "HEAD")

    async def head(self, codec: Codec) -> None:
        """Answer a `HEAD` with what a stream would begin with."""
        headers = [(b"content-type", codec.content_type), *STREAM_HEADERS]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": b""})

    async def answered(self, log: EventLog, codec: Codec, headers: Headers | None = None) -> bool:
        """Answer who needs no stream, 204 if it has all of this log; False for everyone else."""
        cursor = self.options.cursor()
        if cursor is not None and log.finished is not None and str(cursor) == log.cursor:
            await respond(self._send, 204, [*STREAM_HEADERS, *(headers or [])])
            return True
        if self.head_only:
            await self.head(codec)
        return self.head_only

    def refuse_reset(self, log: EventLog, cursor: Cursor | None, codec: Codec) -> None:
        """Raise `bad_cursor` where the answer would be a reset and the wire has no words for it."""
        if cursor is not None and codec.breaks_on_failure and log.holds(cursor) is not None:
            field = "Last-Event-ID" if header(self._scope, b"last-event-id") else "after"
            message = f"The {codec.name} wire cannot go on from there; ask without a cursor, or on another wire."
            raise RealtimeError("bad_cursor", message, field=field)

    async def log(self, slot: Slot, log: EventLog, codec: Codec, headers: Headers | None = None) -> None:
        """Answer with the events of one log."""
        serve_log, cursor = self.serve_log(codec), self.options.cursor()
        await self.respond(slot, self.open(codec, lambda stream: serve_log(stream, log, cursor), headers))

    def serve_log(self, codec: Codec) -> ServeLog:
        """What serves a log over an open stream; it keeps nothing of the request."""
        service, options = self._service, self.options

        def serve(stream: HttpStream, log: EventLog, cursor: Cursor | None) -> Awaitable[Leaving]:
            observation = service.observe(log, cursor, codec.name)
            return serve_observation(stream, observation, codec, options, pulse=service.pulse, bye=service.bye)

        return serve

    def open(self, codec: Codec, serve: Serve, headers: Headers | None = None) -> HttpStream:
        """A stream with this server's settings."""
        service = self._service
        return HttpStream(codec, serve, pulse=service.pulse, retry_ms=service.limits.retry_ms, headers=headers)

    async def respond(self, slot: Slot, stream: HttpStream) -> None:
        """Serve a stream to its end."""
        slot.hold(stream)
        short_way = self._service.short_way(self._scope)
        await stream.open(self._send)
        if short_way is None:
            await stream.run(self._send, receive=self._receive)
        else:
            short_way.carry_on(partial(stream.run_on, short_way), slot.keep())

    async def refuse(self, error: RealtimeError, wire: Codec) -> None:
        """Refuse an observer. Any other status than 200 closes an `EventSource` for good, so one that only came at a
        bad time is told, on the stream, to come back."""
        if error.code not in _COME_BACK or wire is not SSE:
            raise error
        bye = msgspec.structs.replace(self._service.bye(), reason=_COME_BACK[error.code])
        headers = [(b"content-type", SSE.content_type), *STREAM_HEADERS]
        await respond(self._send, 200, headers, SSE.preamble(bye.retry_ms) + SSE.control(bye))
