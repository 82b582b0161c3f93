"""What is told on a lane: events, that there are some, that a stop is wanted, that a conversation has a new generation,
that observers have come to another process or left it.

Of the words of a message those that a later release has added at its end are passed over.
"""

from typing import Literal, NamedTuple, cast, get_args

from realtime.events import StoppedBy

from .batches import Written, decode_written

_ID = 32
_CREATED = b"@"
_STOP = b"stop "
_PRESENCE = b"seen "
_STOPPED_BY = frozenset(get_args(StoppedBy))

Reader = Literal["observer", "waiter"]
"""Who observes, or who only waits for the end."""


class Told(NamedTuple):
    """Events, or where they were too many to be told, the number of the last.

    Attributes:
        said: As it came, for most of what is told on a lane is of logs that are not read here.
    """

    generation: str
    said: bytes

    def read(self) -> tuple[Written | None, int]:
        """The events if they are there, and the number of the last; raises as `read_message`."""
        if b" " not in self.said:
            return None, int(self.said)
        written = decode_written(self.said)
        return written, written.last


class Stop(NamedTuple):
    generation: str
    by: StoppedBy


class Seen(NamedTuple):
    """Somebody has come to a process where nobody was, or the last has left it."""

    generation: str
    worker: str
    reader: Reader


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
        return Created(data[1:].decode().partition(" ")[0])
    generation, rest = data[:_ID].decode(), data[_ID:]
    if rest.startswith(_STOP):
        _, by, *_ = rest.decode().split(" ")
        return Stop(generation, stopped_by(by))
    if rest.startswith(_PRESENCE):
        _, worker, reader, *_ = rest.decode().split(" ")
        return Seen(generation, worker, "waiter" if reader == "waiter" else "observer")
    return Told(generation, rest)


def stopped_by(word: str) -> StoppedBy:
    """Who asked for a stop, by its word in Redis. A later release may know of others: the wish is kept all the same, as
    the server's."""
    return cast("StoppedBy", word) if word in _STOPPED_BY else "server"


def created(conversation: str) -> bytes:
    """Tell of a new generation of a conversation."""
    return _CREATED + conversation.encode()


def seen(generation: str, worker: str, reader: Reader) -> bytes:
    """Tell that somebody has come to a process, or that the last has left it."""
    return generation.encode() + _PRESENCE + f"{worker} {reader}".encode()
