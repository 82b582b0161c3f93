"""What is told on a lane: events, that there are some, that a stop is wanted, that a conversation has a new generation,
that observers have come to another process or left it."""

from typing import Literal, NamedTuple, cast

from realtime.events import StoppedBy

from .batches import Written, decode_written

_ID = 32
_CREATED = b"@"
_STOP = b"stop "
_PRESENCE = b"seen "


class Told(NamedTuple):
    """Events, or where they were too many to be told, the number of the last."""

    generation: str
    written: Written | None
    top: int


class Stop(NamedTuple):
    generation: str
    by: StoppedBy


class Seen(NamedTuple):
    """Observers are there, or no more, in that process."""

    generation: str
    worker: str
    present: bool


class Created(NamedTuple):
    """A conversation, as `created` names it, has a new generation."""

    conversation: str


Message = Told | Stop | Seen | Created


def read_message(data: bytes) -> Message:
    """What a message says.

    Raises:
        RealtimeError: `bus_unavailable`: nothing that this release can read.
        ValueError: The same.
    """
    if data.startswith(_CREATED):
        return Created(data[1:].decode())
    generation, rest = data[:_ID].decode(), data[_ID:]
    if rest.startswith(_STOP):
        return Stop(generation, cast("StoppedBy", rest[len(_STOP) :].decode()))
    if rest.startswith(_PRESENCE):
        worker, _, how = rest[len(_PRESENCE) :].decode().partition(" ")
        return Seen(generation, worker, how == "here")
    if b" " in rest:
        written = decode_written(rest)
        return Told(generation, written, written.last)
    return Told(generation, None, int(rest))


def created(conversation: str) -> bytes:
    """Tell of a new generation of a conversation."""
    return _CREATED + conversation.encode()


def seen(generation: str, worker: str, how: Literal["here", "gone"]) -> bytes:
    """Tell that there are observers in a process, or no more."""
    return generation.encode() + _PRESENCE + f"{worker} {how}".encode()
