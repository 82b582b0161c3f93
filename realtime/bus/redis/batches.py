"""Events as they are stored and told: a batch of some that follow each other, after the epoch that wrote them."""

from collections.abc import Sequence

import msgspec

from realtime.errors import RealtimeError
from realtime.events import AnyEvent
from realtime.log import Meta


class Timed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An event and its time; see `Entry`."""

    at: int
    event: AnyEvent


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """Events that follow each other. Structs as arrays, of which a reader passes over what a later release has added at
    their ends.

    Attributes:
        first: Number of the first.
        events: Each with its time.
    """

    first: int
    events: list[Timed]


class Written(msgspec.Struct, frozen=True):
    """A batch, and the epoch that wrote it."""

    fence: int
    batch: Batch

    @property
    def last(self) -> int:
        """Number of its last event."""
        return self.batch.first + len(self.batch.events) - 1


# What a batch in JSON begins with, and none in MessagePack.
_JSON = b"["
_encode = msgspec.msgpack.Encoder().encode
_encode_json = msgspec.json.Encoder().encode
_decode_batch = msgspec.msgpack.Decoder(Batch).decode
_decode_json_batch = msgspec.json.Decoder(Batch).decode
_decode_meta = msgspec.msgpack.Decoder(Meta).decode


def encode_batch(first: int, events: Sequence[tuple[int, AnyEvent]]) -> bytes:
    """As `append.lua` takes it."""
    try:
        return _encode((first, events))
    except OverflowError:
        # An application may say any integer, and MessagePack's end at 64 bits.
        return _encode_json((first, events))


def decode_written(data: bytes) -> Written:
    """What the script made of it.

    Raises:
        RealtimeError: `bus_unavailable`: it is nothing that this release can read. Whoever can write to Redis can
            write anything, so it is decoded strictly and never trusted.
    """
    fence, _, batch = data.partition(b" ")
    decode = _decode_json_batch if batch.startswith(_JSON) else _decode_batch
    try:
        return Written(int(fence), decode(batch))
    except (ValueError, msgspec.DecodeError):
        raise RealtimeError("bus_unavailable", "The log of record holds something that cannot be read.") from None


def encode_meta(meta: Meta) -> bytes:
    """As `create.lua` takes it."""
    return _encode(meta)


def decode_meta(data: bytes) -> Meta:
    """What a log is of; raises as `decode_written`."""
    try:
        return _decode_meta(data)
    except msgspec.DecodeError:
        raise RealtimeError("bus_unavailable", "The log of record holds something that cannot be read.") from None
