"""What connections ask for, as the bytes that a load client sends."""

from collections.abc import Mapping

import msgspec

UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "c2l4dGVlbiBieXRlcyAhIQ==",
}
# Beyond it a frame's head is longer.
_LONGEST = 125


def http_request(
    method: str, path: str, port: int, body: object = None, headers: Mapping[str, str] | None = None
) -> bytes:
    """A whole HTTP/1.1 request."""
    content = b"" if body is None else msgspec.json.encode(body)
    sent = {"Host": f"127.0.0.1:{port}", "Accept": "text/event-stream", **(headers or {})}
    if content:
        sent |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items())]
    return "\r\n".join([*lines, "", ""]).encode() + content


def text_frame(text: bytes) -> bytes:
    """A WebSocket's text frame; the mask that every client's frame must have is four zeros."""
    assert len(text) <= _LONGEST
    return b"\x81%c%b%b" % (0x80 | len(text), bytes(4), text)
