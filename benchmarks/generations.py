"""Starting a generation on our server, from outside as anyone would."""

import http.client
import time

import msgspec

_PATIENCE_S = 10.0
_LOOK_S = 0.02


class Started(msgspec.Struct, frozen=True):
    """A generation as the server describes it; `cursor` is of its newest event."""

    id: str
    cursor: str
    state: str


def start(port: int, model: str = "paced/paced") -> str:
    """Start one and leave it; its id."""
    body = msgspec.json.encode({"model": model, "prompt": "Say it."})
    return _ask(port, "POST", "/v1/generations", body).id


def start_and_fill(port: int, model: str, events: int) -> Started:
    """Start one, and wait until its log holds that many events."""
    generation = start(port, model)
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        found = _ask(port, "GET", f"/v1/generations/{generation}")
        if int(found.cursor.partition("-")[2]) >= events:
            return found
        time.sleep(_LOOK_S)
    raise RuntimeError(f"the log of {model} does not fill")


def _ask(port: int, method: str, path: str, body: bytes | None = None) -> Started:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_S)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        return msgspec.json.decode(connection.getresponse().read(), type=Started)
    finally:
        connection.close()
