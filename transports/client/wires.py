"""One connection on one wire: opened from a cursor, read as slices of decoded frames until it ends.

A wire ends normally when its peer ended it normally, which says nothing about the generation. It raises
`DroppedError` for what another try may mend and a `ClientError` for what it will not.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Literal
from urllib.parse import quote

import httpx2
import msgpack
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from realtime.errors import ErrorObject

from .errors import DroppedError, ProtocolError, RefusedError, refusal
from .ndjson import NdjsonDecoder
from .place import NOTHING_MORE, RETRY, Frame
from .sse import SseDecoder

Wire = Literal["ws", "sse", "ndjson"]
Codec = Literal["json", "msgpack"]
Slices = AsyncGenerator[list[Frame], None]

_ACCEPT = {"sse": "text/event-stream", "ndjson": "application/x-ndjson"}
# A message is a slice of about 16 KiB, or one event that is larger: 2 MiB of payload by default, several times that as
# JSON, and a server may be set to more.
_MAX_MESSAGE_BYTES = 64 * 2**20
# These say that this client is wrong; it would be as wrong on a new connection.
_FATAL_CLOSES = frozenset({1002, 1003, 1007, 1009})
# Leaving is at once; a peer that does not answer the close is not waited for.
_CLOSE_S = 0.25


class Target(msgspec.Struct, frozen=True):
    """What is observed, and how. Options that are None are not sent."""

    generation: str
    replay: str | None = None
    view: str | None = None
    pace: str | None = None
    flush_ms: int | None = None

    def options(self, after: str | None) -> dict[str, Any]:
        """The options of an observation that were given, named as on every wire."""
        named = {"after": after, "replay": self.replay, "view": self.view, "pace": self.pace, "flush_ms": self.flush_ms}
        return {name: value for name, value in named.items() if value is not None}


class Wires:
    """Opens connections to one server.

    Args:
        http: Its base URL is the server's.
        headers: Sent on a WebSocket handshake.
        silence_s: A connection without a byte for so long is dead; several of the server's heartbeats.
    """

    def __init__(
        self, http: httpx2.AsyncClient, headers: dict[str, str], *, codec: Codec, silence_s: float, open_s: float
    ) -> None:
        self._http = http
        self._headers = headers
        self._codec: Codec = codec
        self._silence_s = silence_s
        self._open_s = open_s

    def open(self, wire: Wire, target: Target, after: str | None) -> Slices:
        """Open a connection; it is made when the first slice is asked for."""
        match wire:
            case "ws":
                return self._websocket(target, after)
            case "sse":
                return self._stream("sse", target, after, _sse_reader())
            case "ndjson":
                return self._stream("ndjson", target, after, _ndjson_reader())

    async def _stream(
        self, wire: str, target: Target, after: str | None, read: Callable[[bytes], list[Frame]]
    ) -> Slices:
        request = self._http.build_request(
            "GET",
            f"v1/generations/{quote(target.generation, safe='')}/events",
            params=target.options(after),
            headers={"Accept": _ACCEPT[wire]},
            timeout=httpx2.Timeout(self._open_s, read=self._silence_s, pool=None),
        )
        try:
            response = await self._http.send(request, stream=True)
            try:
                if response.status_code == 204:
                    yield [NOTHING_MORE]
                    return
                await _check(response, _ACCEPT[wire])
                async with aclosing(response.aiter_bytes()) as chunks:
                    async for chunk in chunks:
                        if frames := read(chunk):
                            yield frames
            finally:
                await response.aclose()
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            raise DroppedError(str(error) or type(error).__name__) from error
        except ValueError as error:
            raise DroppedError(f"the stream is not {wire} of this protocol: {error}") from error

    async def _websocket(self, target: Target, after: str | None) -> Slices:
        try:
            socket = await connect(
                _websocket_url(self._http.base_url),
                subprotocols=[Subprotocol(f"realtime.v1.{self._codec}")],
                additional_headers=self._headers,
                compression=None,
                max_size=_MAX_MESSAGE_BYTES,
                open_timeout=self._open_s,
                close_timeout=_CLOSE_S,
            )
        except InvalidStatus as error:
            response = error.response
            raise refusal(
                response.status_code, bytes(response.body or b""), response.headers.get("Retry-After")
            ) from None
        except (OSError, InvalidHandshake) as error:
            raise DroppedError(str(error) or type(error).__name__) from error
        try:
            async with socket, aclosing(self._observe(socket, target, after)) as slices:
                async for frames in slices:
                    yield frames
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd is not None else None
            if code in _FATAL_CLOSES:
                raise ProtocolError(f"the server closed with {code}: this client is not understood") from closed
            raise DroppedError(f"the WebSocket closed: {closed}") from closed
        except TimeoutError:
            raise DroppedError(f"nothing came for {self._silence_s:g} s") from None

    async def _observe(self, socket: ClientConnection, target: Target, after: str | None) -> Slices:
        binary = socket.subprotocol == "realtime.v1.msgpack"
        command = {"type": "observe", "ref": 1, "generation": target.generation, **target.options(after)}
        await socket.send(msgpack.packb(command) if binary else msgspec.json.encode(command).decode())
        while True:
            async with asyncio.timeout(self._silence_s):
                message = await socket.recv()
            frame = _decode(message)
            match frame:
                case {"type": "events", "events": [*events]} if all(isinstance(event, dict) for event in events):
                    yield events
                case {"type": "error"}:
                    raise _reply_error(frame)
                case {"type": "ok", "state": "finished", "cursor": head} if head == after:
                    # What HTTP says with a 204.
                    yield [NOTHING_MORE]
                    return
                case {"type": "ok"}:
                    pass
                case _:
                    yield [frame]


async def _check(response: httpx2.Response, media_type: str) -> None:
    if response.status_code != 200:
        body = await response.aread()
        raise refusal(response.status_code, body, response.headers.get("Retry-After"))
    kind = response.headers.get("Content-Type", "")
    if kind.partition(";")[0].strip().lower() != media_type:
        # The sign-in page of a train's wifi, for one. It goes away.
        raise DroppedError(f"the answer is {kind or 'of no type'}, not {media_type}")


def _sse_reader() -> Callable[[bytes], list[Frame]]:
    decoder, last_retry_ms = SseDecoder(), None

    def read(chunk: bytes) -> list[Frame]:
        nonlocal last_retry_ms
        frames = [_frame(event.data) for event in decoder.feed(chunk)]
        if decoder.retry_ms != last_retry_ms:
            last_retry_ms = decoder.retry_ms
            frames.insert(0, {"type": RETRY, "retry_ms": last_retry_ms})
        return frames

    return read


def _ndjson_reader() -> Callable[[bytes], list[Frame]]:
    decoder = NdjsonDecoder()
    return lambda chunk: [_frame(line) for line in decoder.feed(chunk)]


def _frame(data: bytes) -> Frame:
    return msgspec.json.decode(data, type=dict[str, Any])


def _decode(message: str | bytes) -> Frame:
    try:
        if isinstance(message, str):
            return _frame(message.encode())
        frame = msgpack.unpackb(message)
    except (ValueError, msgpack.UnpackException) as error:
        raise DroppedError(f"a message cannot be read: {error}") from error
    if not isinstance(frame, dict):
        raise DroppedError("a message is not an object")
    return frame


def _reply_error(reply: Frame) -> RefusedError | DroppedError:
    try:
        error = msgspec.convert(reply.get("error"), ErrorObject)
    except msgspec.ValidationError:
        return DroppedError("a command was refused without a word")
    if not error.retryable:
        return RefusedError(error)
    dropped = DroppedError(f"{error.code}: {error.message}", wait_s=error.retry_after_s or 0.0)
    dropped.__cause__ = RefusedError(error)
    return dropped


def _websocket_url(base: httpx2.URL) -> str:
    return str(base.copy_with(scheme="wss" if base.scheme == "https" else "ws", path=base.path.rstrip("/") + "/v1/ws"))
