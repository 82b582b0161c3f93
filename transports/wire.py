"""Which wires there are, and which one a request asks for. Adding a wire is a file beside this one and a line here."""

from realtime.errors import RealtimeError

from .codec import Codec
from .ndjson import NDJSON
from .sse import SSE
from .text import TEXT

WIRES: dict[str, Codec] = {wire.name: wire for wire in (SSE, NDJSON, TEXT)}

MEDIA_TYPES: dict[str, Codec] = {
    "text/event-stream": SSE,
    "application/x-ndjson": NDJSON,
    "application/jsonl": NDJSON,
    "text/plain": TEXT,
}


def named_wire(name: str) -> Codec:
    """The wire of `?wire=`.

    Raises:
        RealtimeError: `bad_request`.
    """
    wire = WIRES.get(name)
    if wire is None:
        raise RealtimeError("bad_request", f"wire is one of {', '.join(WIRES)}.", field="wire")
    return wire


def accepted_wire(accept: str) -> Codec | None:
    """The streaming wire an Accept header prefers; None when it names none, as `*/*` and `application/json` do not."""
    wanted: list[tuple[float, Codec]] = []
    for choice in accept.split(",")[:16]:
        media, *parameters = (part.strip().lower() for part in choice.split(";"))
        if media in MEDIA_TYPES:
            wanted.append((_quality(parameters), MEDIA_TYPES[media]))
    best = max(wanted, key=lambda pair: pair[0], default=(0.0, SSE))
    return best[1] if best[0] > 0 else None


def accepts_json(accept: str) -> bool:
    """Whether a plain JSON answer is acceptable; an absent header accepts everything."""
    medias = {choice.split(";")[0].strip().lower() for choice in accept.split(",")[:16]}
    return not accept or bool(medias & {"*/*", "application/*", "application/json", "application/problem+json"})


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                quality = float(parameter[2:])
            except ValueError:
                return 0.0
            # Not a number is no number; and nothing is wanted more than wholly.
            return min(quality, 1.0) if quality > 0 else 0.0
    return 1.0
