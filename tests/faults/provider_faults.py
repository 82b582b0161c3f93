"""What a provider can do wrong, on each of the wires, while it repeats what it was told wherever it can say something.

A fault is a reply, and what must be made of it: one code, the text that was said before it, and whether another try may
follow.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from tests.upstream import FIN, RESET, STALL, Exchange, Pause, Reply
from tests.upstream.server import Step

from .provider_wires import Wire

_SOON_S = 0.15
_LATE_S = 3.0
# For as long as any deadline here.
_FOR_EVER = 1000


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        code: Of the error that it must end with.
        reply: What is answered; nothing where nobody is reached.
        where: `open`, or a provider that nobody listens for (`closed`), or all of whose connections are taken (`full`).
        said: It comes behind all of `TEXT`.
        again: Another try may follow.
        retry_after_s: That the error must tell.
        deadlines: Of the request.
        weight: How often it is drawn; some take long or cost much.
    """

    code: str
    reply: Callable[[Wire, Exchange], Reply] = lambda _wire, _exchange: Reply()
    where: Literal["open", "closed", "full"] = "open"
    said: bool = False
    again: bool = True
    retry_after_s: float | None = None
    deadlines: Mapping[str, float] = field(default_factory=dict)
    weight: int = 10


def told(exchange: Exchange) -> str:
    """All that a provider was told: the prompt, the key, and whatever else came with them."""
    return json.dumps([exchange.body, exchange.headers])


def echoing(exchange: Exchange, **more: str) -> dict[str, str]:
    """Headers of an answer that repeat it; an underscore in the name of another is a hyphen."""
    text = told(exchange)
    key = exchange.headers.get("authorization") or exchange.headers["x-api-key"]
    headers = {"authorization": key, "x-request-id": key, "www-authenticate": text, "location": text}
    return headers | {name.replace("_", "-"): value for name, value in more.items()}


def _streaming(*steps: bytes | Pause | Literal["stall", "reset", "fin"]) -> Callable[[Wire, Exchange], Reply]:
    """A good head, whose headers echo, and then this."""
    return lambda _wire, exchange: Reply(steps, headers=echoing(exchange, content_type="text/event-stream"))


def _behind_text(make: Callable[[Wire, str], list[bytes]], *, said: bool) -> Callable[[Wire, Exchange], Reply]:
    """What `make` makes of all that was told, behind the text or in place of it."""

    def reply(wire: Wire, exchange: Exchange) -> Reply:
        before = wire.begun if said else []
        return Reply([*before, *make(wire, told(exchange))], headers=echoing(exchange))

    return reply


def _refusal(status: int, form: str = "nested", **headers: str) -> Callable[[Wire, Exchange], Reply]:
    """A status whose body repeats what was told."""

    def reply(_wire: Wire, exchange: Exchange) -> Reply:
        text = told(exchange)
        said = {"message": text, "type": text, "code": text, "param": text}
        bodies = {
            "nested": [json.dumps({"error": said}).encode()],
            "bare": [json.dumps(said).encode()],
            "no JSON": [text.encode()[1:]],
            "endless": [text.encode() * 20] * _FOR_EVER,
        }
        return Reply(bodies[form], status, echoing(exchange, content_type="application/json", **headers))

    return reply


def _unframed(form: bytes) -> Callable[[Wire, Exchange], Reply]:
    """Bytes in place of an answer, with what was told amid them."""
    return lambda _wire, exchange: Reply([form % told(exchange).encode()], framing="none")


def _stalling_amid(wire: Wire, exchange: Exchange) -> Reply:
    # In one piece: the deadline must not come between two of it.
    return Reply([b"".join(wire.begun), STALL], headers=echoing(exchange))


def _keeping_alive(wire: Wire, exchange: Exchange) -> Reply:
    return Reply([wire.alive, Pause(0.02)] * _FOR_EVER, headers=echoing(exchange))


def _never_ending(wire: Wire, exchange: Exchange) -> Reply:
    signs: list[Step] = [wire.alive, Pause(0.02)]
    return Reply([b"".join(wire.begun), *signs * _FOR_EVER], headers=echoing(exchange))


def _both(name: str, make: Callable[[Wire, str], list[bytes]], code: str, weight: int = 10) -> dict[str, Fault]:
    """A fault in the stream, in place of the text and behind it."""
    return {
        name: Fault(code, _behind_text(make, said=False), weight=weight),
        f"{name} amid": Fault(code, _behind_text(make, said=True), said=True, weight=weight),
    }


_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"

FAULTS = {
    "401": Fault("upstream_auth", _refusal(401), again=False),
    "403": Fault("upstream_auth", _refusal(403, "bare"), again=False),
    "404": Fault("upstream_not_found", _refusal(404), again=False),
    "408": Fault("upstream_overloaded", _refusal(408)),
    "409": Fault("upstream_overloaded", _refusal(409, "no JSON")),
    "413": Fault("upstream_invalid", _refusal(413), again=False),
    "429": Fault("upstream_rate_limited", _refusal(429)),
    "429, later": Fault("upstream_rate_limited", _refusal(429, retry_after_ms="20"), retry_after_s=0.02),
    "429, much later": Fault("upstream_rate_limited", _refusal(429, retry_after="900"), again=False, retry_after_s=900),
    "500": Fault("upstream_overloaded", _refusal(500)),
    "503": Fault("upstream_overloaded", _refusal(503, "bare")),
    "529": Fault("upstream_overloaded", _refusal(529)),
    "500 without end": Fault("upstream_overloaded", _refusal(500, "endless")),
    **_both("an error", lambda wire, text: [wire.error(text)], "upstream_overloaded"),
    **_both("a malformed event", lambda wire, text: [wire.malformed(text)], "upstream_protocol"),
    **_both("an oversize event", lambda wire, _: [wire.oversize], "upstream_protocol", 1),
    **_both("an end", lambda _, __: [], "upstream_truncated"),
    "a reset": Fault("upstream_unreachable", lambda _, __: Reply(before=[RESET])),
    "a reset behind the head": Fault("upstream_truncated", _streaming(RESET)),
    "a reset amid": Fault("upstream_truncated", lambda wire, _: Reply([*wire.begun, RESET]), said=True),
    "a FIN behind the head": Fault("upstream_truncated", _streaming(FIN)),
    "a FIN amid": Fault("upstream_truncated", lambda wire, _: Reply([*wire.begun, FIN]), said=True),
    "a page": Fault("upstream_protocol", lambda _, exchange: Reply([b"<html>" + told(exchange).encode()])),
    "no HTTP": Fault("upstream_protocol", _unframed(b"%b")),
    "a status that is none": Fault("upstream_protocol", _unframed(b"HTTP/1.1 %b\r\n\r\n")),
    "broken chunks": Fault("upstream_protocol", _unframed(_HEAD + b"%b\r\n")),
    "no gzip": Fault(
        "upstream_protocol", lambda _, exchange: Reply([b"junk"], headers=echoing(exchange, content_encoding="gzip"))
    ),
    "slow headers": Fault(
        "timeout_first_event", lambda _, __: Reply(before=[STALL]), deadlines={"first_event": _SOON_S}
    ),
    "silence": Fault("timeout_first_event", _streaming(STALL), deadlines={"first_event": _SOON_S}),
    "only signs of life": Fault("timeout_first_event", _keeping_alive, deadlines={"first_event": _SOON_S}),
    "silence amid": Fault("timeout_idle", _stalling_amid, said=True, deadlines={"idle": _SOON_S}),
    "no end": Fault("timeout_total", _never_ending, said=True, deadlines={"total": _LATE_S}, weight=4),
    "nobody listens": Fault("upstream_unreachable", where="closed"),
    "no connection": Fault("timeout_connect", where="full", deadlines={"connect": _SOON_S}),
}
