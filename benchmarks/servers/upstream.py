"""A fake OpenAI that costs next to nothing: every stream is paced, and every token is a write of its own.

One timer a millisecond serves the streams whose turn it is, so hundreds of them are spread over time as real ones are.
A token is stamped when it is written: its age at the client is what the server between them added.
"""

import asyncio
import json
import ssl
import sys
from typing import cast

import uvloop

from benchmarks.stamps import now_us, payload

_TICK_S = 0.001
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(content: str | None, finish: str | None = None) -> bytes:
    """A chunk of text, or of none."""
    return enveloped({} if content is None else {"content": content}, finish)


def enveloped(delta: dict[str, object], finish: str | None = None) -> bytes:
    """A chunk as OpenAI sends it, with all that a client does not read."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return of_choices([choice], None)


def of_choices(choices: list[dict[str, object]], usage: dict[str, object] | None) -> bytes:
    """The same of any choices; the last chunk of a stream has none, and says what it cost."""
    value = {
        "id": "chatcmpl-CzBenchmarkBenchmarkBenchmark",
        "object": "chat.completion.chunk",
        "created": 1_770_000_000,
        "model": "gpt-5-benchmark",
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
        "choices": choices,
        "usage": usage,
        "obfuscation": "aB3dE6gH9",
    }
    return b"data: %b\n\n" % json.dumps(value, separators=(",", ":")).encode()


class _Stream(asyncio.Protocol):
    """One connection: a request in, a paced stream out, as long as it stays."""

    def __init__(self, turns: list[set["_Stream"]], tokens: int) -> None:
        self._turns = turns
        self._tokens = tokens
        self._received = b""
        self._turn: set[_Stream] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or len(body) < _content_length(head):
            return
        self._received, self._left = b"", self._tokens
        self._transport.write(_HEAD)
        self.say()
        self._turn = min(self._turns, key=len)
        self._turn.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - a protocol's signature
        self._turn.discard(self)

    def say(self) -> None:
        """Send the next token, or the end."""
        if self._left:
            self._left -= 1
            self._write(chunk(payload(now_us())))
            return
        self._write(chunk(None, "stop") + b"data: [DONE]\n\n")
        self._transport.write(b"0\r\n\r\n")
        self._turn.discard(self)

    def _write(self, data: bytes) -> None:
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


async def _serve(port: int, rate: float, tokens: int, certificate: str | None) -> None:
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    turns: list[set[_Stream]] = [set() for _ in range(max(1, round(1 / rate / _TICK_S)))]
    server = await loop.create_server(lambda: _Stream(turns, tokens), "127.0.0.1", port, backlog=2048, ssl=context)
    async with server:
        start, n = loop.time(), 0
        while True:
            for stream in tuple(turns[n % len(turns)]):
                stream.say()
            n += 1
            # A tick that is late is followed at once by the next: the rate holds over time.
            await asyncio.sleep(max(0.0, start + n * _TICK_S - loop.time()))


def main() -> None:
    """Serve until killed; by TLS where a file with a key and a certificate is given."""
    certificate = sys.argv[4] if len(sys.argv) > 4 else None
    uvloop.run(_serve(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), certificate))


if __name__ == "__main__":
    main()
