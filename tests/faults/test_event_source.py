"""Row 18, streams: a browser's EventSource, the Python client and the JavaScript client hear the same."""

import asyncio
import json
import random
from base64 import b64decode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page

from transports.client.sse import SseDecoder

from .event_source_vectors import MIME_TYPES, VECTORS, Heard, Vector
from .in_page import call, chromium

ROOT = Path(__file__).parents[2]
WEB = ROOT / "realtime" / "server" / "web"
OURS: dict[str, Any] = json.loads((ROOT / "transports" / "vectors.json").read_text())
ALL = [
    *VECTORS,
    *(
        Vector(case["name"], [b64decode(chunk) for chunk in case["chunks"]], [Heard(**one) for one in case["events"]])
        for case in OURS["sse_streams"]
        # It asks for more patience than a browser is given here.
        if "retry" not in case["name"]
    ),
]
# A browser opens no more connections to one server.
AT_ONCE = 6
# Between two chunks, so that a reader sees them apart. Where it does not, a case is only less hard.
APART_S = 0.01
# Before a browser comes back that was not told when.
DEFAULT_RETRY_S = 3.0

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.browser, pytest.mark.slow]


class Streams:
    """A server of event streams, whatever is wrong with them, and of a page to read them in.

    Attributes:
        asked: Loop times of the requests for each stream, and their `Last-Event-ID`.
    """

    def __init__(self) -> None:
        self.streams: dict[str, tuple[str, list[bytes]]] = {}
        self.asked: dict[str, list[tuple[float, str | None]]] = {}
        self.url = ""

    def offer(self, chunks: list[bytes], content_type: str = "text/event-stream") -> str:
        """The path of a stream; who asks for it again is told that there is no more."""
        path = f"/{len(self.streams)}"
        self.streams[path], self.asked[path] = (content_type, chunks), []
        return path

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        line, *fields = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        path = line.split()[1]
        content_type, chunks = "text/html", [b"<!doctype html><title>Streams</title>"]
        status = "200 OK"
        if path.startswith("/assets/"):
            content_type, chunks = "text/javascript", [(WEB / Path(path).name).read_bytes()]
        elif path in self.streams:
            self.asked[path].append((asyncio.get_running_loop().time(), headers.get("last-event-id")))
            content_type, chunks = self.streams[path]
            if len(self.asked[path]) > 1:
                status, chunks = "204 No Content", []
        writer.write(f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nConnection: close\r\n\r\n".encode())
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(APART_S)
        writer.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def streams() -> AsyncIterator[Streams]:
    """The server of streams."""
    streams = Streams()
    server = await asyncio.start_server(streams.answer, "127.0.0.1", 0)
    streams.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield streams
    server.close()


def decoded(chunks: list[bytes]) -> tuple[list[Heard], int | None]:
    """What the Python client hears."""
    decoder = SseDecoder()
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    return [Heard(event.event, event.data.decode(errors="replace"), event.id) for event in events], decoder.retry_ms


@pytest.mark.parametrize("vector", ALL, ids=lambda vector: vector.name)
async def test_python_client(vector: Vector) -> None:
    """The stream as it is cut here, whole, byte by byte and cut at random is the same events."""
    stream = b"".join(vector.chunks)
    expected = vector.events, vector.retry_ms
    assert decoded(vector.chunks) == decoded([stream]) == expected
    assert decoded([stream[at : at + 1] for at in range(len(stream))]) == expected
    for _ in range(20):
        cut = random.randrange(len(stream) + 1)
        assert decoded([stream[:cut], b"", stream[cut:]]) == expected, cut


async def test_browser(streams: Streams) -> None:
    """Chromium dispatches the same events, and comes back with the last id when the stream says."""
    room = asyncio.Semaphore(AT_ONCE)
    wrong = []

    async def hear(page: Page, vector: Vector) -> None:
        path = streams.offer(vector.chunks)
        # Also what must not be dispatched.
        types = sorted({"message", "test", "data", "error2", *(one.event for one in vector.events)})
        async with room:
            comes_back = vector.retry_ms is not None
            heard = await call(page, "hear", {"url": path, "types": types, "comesBack": comes_back})
        if heard != {"events": [list(one) for one in vector.events], "opened": 1}:
            wrong.append((vector.name, heard))
        if vector.retry_ms is not None:
            (first, _), (second, last_id) = streams.asked[path]
            assert last_id == (vector.events[-1].id or None)
            assert vector.retry_ms / 1000 <= second - first < DEFAULT_RETRY_S, vector.name

    async with chromium(streams.url) as page:
        await asyncio.gather(*(hear(page, vector) for vector in ALL))
    assert wrong == []


async def test_media_types(streams: Streams) -> None:
    """A browser takes a stream for one by its media type alone, ours and what a proxy may make of it."""
    async with chromium(streams.url) as page:
        for content_type, taken in MIME_TYPES.items():
            path = streams.offer(["data: \u2026\n\n".encode()], content_type)
            heard = await call(page, "hear", {"url": path, "types": ["message"], "comesBack": False})
            assert heard["events"] == ([["message", "\u2026", ""]] if taken else []), content_type


def as_numbers(text: str) -> Any:
    """JSON as JavaScript has it: every number is a double."""
    return json.loads(text, parse_int=float)


async def test_javascript_client(streams: Streams) -> None:
    """The client's own parser reads every event there is as this server sends it, cut anywhere."""
    stream = b"retry: 3000\n\n" + "".join(case["sse"] for case in OURS["events"]).encode()
    expected = {"frames": [as_numbers(case["json"]) for case in OURS["events"]], "retries": [3000]}
    async with chromium(streams.url) as page:
        for _ in range(10):
            cuts = sorted(random.sample(range(len(stream)), 20))
            chunks = [stream[at:to] for at, to in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
            read = await call(page, "read", {"url": streams.offer(chunks)})
            assert as_numbers(json.dumps(read)) == expected, cuts
