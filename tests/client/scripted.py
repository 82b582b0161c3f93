"""A server that serves one log over real sockets, and misbehaves connection by connection as it was told."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgpack
from websockets.frames import Frame as WebSocketFrame
from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

Frame = dict[str, Any]

GENERATION = "0123456789abcdef0123456789abcdef"
TYPES = {"sse": "text/event-stream", "ndjson": "application/x-ndjson"}


def log_of(*texts: str, epoch: str = "e1") -> list[Frame]:
    """The events of a generation that said `texts` and completed."""
    events: list[Frame] = [
        {"type": "started", "at": 0, "generation": GENERATION, "model": "demo/default", "created_ms": 1},
        {"type": "attempt", "at": 1, "n": 1, "provider": "demo", "model": "default"},
        *({"type": "text", "at": 2 + n, "text": text} for n, text in enumerate(texts)),
        {"type": "finished", "at": 99, "outcome": "completed", "reason": "stop"},
    ]
    return [{"id": f"{epoch}-{seq}", **event} for seq, event in enumerate(events, 1)]


def position(cursor: str, head: str, state: str = "streaming", reset: str | None = None) -> Frame:
    """A `position` frame."""
    frame = {"type": "position", "generation": GENERATION, "cursor": cursor, "head": head, "state": state}
    return frame if reset is None else {**frame, "reset": reset}


@dataclass
class Script:
    """What one connection does.

    Attributes:
        frames: What is sent, by the cursor that was asked for; the rest of the log when None.
        cut: Bytes of the body, or of what follows the handshake, after which the connection is reset.
        hang: Stay open when everything was sent, until the client leaves.
        status: Any but 200 is sent with `body` instead of a stream.
        close_code: How a WebSocket is closed at the end.
        raw: Sent as it is instead of frames; HTTP only.
    """

    frames: Callable[[str | None], list[Frame]] | None = None
    cut: int | None = None
    hang: bool = False
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    close_code: int = 1000
    raw: bytes | None = None


@dataclass
class Asked:
    """One request as it came."""

    method: str
    path: str
    wire: str
    after: str | None
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


class ScriptedServer:
    """Serves `log`; the n-th connection obeys the n-th script, later ones serve properly."""

    def __init__(self, log: list[Frame], scripts: Iterable[Script] = ()) -> None:
        self.log = log
        self.scripts = list(scripts)
        self.asked: list[Asked] = []
        self.left = asyncio.Event()
        self.url = ""
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def run(self) -> AsyncIterator["ScriptedServer"]:
        """Listen on a free port."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await server.wait_closed()

    def rest(self, after: str | None) -> list[Frame]:
        """A position and everything after a cursor of this log."""
        seq = int(after.partition("-")[2]) if after else 0
        state = "finished" if self.log[-1]["type"] == "finished" else "streaming"
        return [position(after or "e1-0", self.log[-1]["id"], state), *self.log[seq:]]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            script = self.scripts.pop(0) if self.scripts else Script()
            if b"upgrade: websocket" in head.lower() and script.status == 200:
                await self._websocket(head, script, reader, writer)
            else:
                await self._http(head, script, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # The client has gone, or the test is over.
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _http(
        self, head: bytes, script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        asked = _read_head(head)
        asked.body = await reader.readexactly(int(asked.headers.get("content-length", "0")))
        self.asked.append(asked)
        if script.cut == 0:
            return
        if script.status != 200 or asked.method != "GET":
            fields = "".join(f"{name}: {value}\r\n" for name, value in script.headers.items())
            length = "" if script.status == 204 else f"Content-Length: {len(script.body)}\r\n"
            writer.write(f"HTTP/1.1 {script.status} X\r\n{fields}{length}Connection: close\r\n\r\n".encode())
            writer.write(script.body)
            await writer.drain()
            return
        frames = (script.frames or self.rest)(asked.after)
        body = script.raw if script.raw is not None else encode(asked.wire, frames)
        kind = script.headers.get("Content-Type", TYPES[asked.wire])
        writer.write(
            f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        await self._body(body, b"0\r\n\r\n", script, reader, writer, lambda part: b"%x\r\n%b\r\n" % (len(part), part))

    async def _websocket(
        self, head: bytes, script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        offered = [Subprotocol("realtime.v1.json"), Subprotocol("realtime.v1.msgpack")]
        protocol = ServerProtocol(subprotocols=offered)
        protocol.receive_data(head)
        (request,) = protocol.events_received()
        assert isinstance(request, Request)
        protocol.send_response(protocol.accept(request))
        writer.writelines(protocol.data_to_send())
        command: WebSocketFrame | None = None
        while command is None:
            protocol.receive_data(await reader.read(4096) or _gone())
            command = next((event for event in protocol.events_received() if isinstance(event, WebSocketFrame)), None)
        binary = command.opcode is Opcode.BINARY
        wanted = msgpack.unpackb(command.data) if binary else json.loads(bytes(command.data))
        asked = _read_head(head)
        asked.wire, asked.after, asked.query = "ws", wanted.get("after"), wanted
        self.asked.append(asked)
        for frame in messages(wanted, (script.frames or self.rest)(asked.after)):
            protocol.send_binary(msgpack.packb(frame)) if binary else protocol.send_text(json.dumps(frame).encode())
        body = b"".join(protocol.data_to_send())
        protocol.send_close(script.close_code)
        await self._body(body, b"".join(protocol.data_to_send()), script, reader, writer, lambda part: part)

    async def _body(
        self,
        body: bytes,
        end: bytes,
        script: Script,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        framed: Callable[[bytes], bytes],
    ) -> None:
        whole = body if script.cut is None else body[: script.cut]
        if whole:
            writer.write(framed(whole))
            await writer.drain()
        if script.hang:
            await reader.read()
            self.left.set()
        elif script.cut is None:
            writer.write(end)
            await writer.drain()


def _gone() -> bytes:
    """The client left before it sent a command."""
    raise ConnectionError


def messages(command: Frame, frames: list[Frame]) -> list[Frame]:
    """A WebSocket's messages: the reply, control frames as they are, events in slices of two."""
    said: list[Frame] = [{"type": "ok", "ref": command.get("ref"), "generation": command["generation"]}]
    for frame in frames:
        if frame["type"] in {"error", "ok"}:
            said[0] = {"ref": command.get("ref"), **frame}
        elif "id" not in frame:
            said.append(frame)
        elif said[-1]["type"] == "events" and len(said[-1]["events"]) < 2:
            said[-1]["events"].append(frame)
        else:
            said.append({"type": "events", "generation": command["generation"], "events": [frame]})
    return said


def encode(wire: str, frames: list[Frame]) -> bytes:
    """Frames as the body of an HTTP stream."""
    if wire == "ndjson":
        return b"".join(json.dumps(frame, ensure_ascii=False).encode() + b"\n" for frame in frames)
    return b"retry: 20\n\n" + b"".join(map(_sse, frames))


def _sse(frame: Frame) -> bytes:
    given = frame.get("id") or (frame["cursor"] if frame["type"] == "position" else None)
    name = f"id: {given}\n" if given is not None else ""
    return f"event: {frame['type']}\n{name}data: {json.dumps(frame, ensure_ascii=False)}\n\n".encode()


def _read_head(head: bytes) -> Asked:
    first, *lines = head.decode().rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    url = urlsplit(target)
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    wire = next((name for name, kind in TYPES.items() if kind in headers.get("accept", "")), "")
    return Asked(method, url.path, wire, query.get("after"), query, headers, b"")
