"""An observer's place: `<epoch>-<seq>` of the last event it has. Opaque to clients; its alphabet is closed.

The epoch names one branch of one log, so a cursor that was given out for another generation, or for a branch that was
lost, can be told from one that is merely old. Being digits, lower-case letters and one dash, a cursor can be put in an
SSE `id:` line and in a query string as it is.
"""

import re
from typing import NamedTuple

from .errors import RealtimeError

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
# 12 base-36 digits hold every 62-bit epoch, 15 decimal digits every number a JavaScript client can count to.
_FORM = re.compile(r"([0-9a-z]{1,12})-(0|[1-9][0-9]{0,14})", re.ASCII)


class Cursor(NamedTuple):
    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq}"


def parse_cursor(text: str, field: str = "after") -> Cursor:
    """Read a cursor that a client sent back.

    Raises:
        RealtimeError: `bad_cursor`, naming `field`.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise RealtimeError("bad_cursor", f"{field} is not a cursor of the form <epoch>-<seq>.", field=field)
    return Cursor(match[1], int(match[2]))


def encode_epoch(epoch: int) -> str:
    """Write an epoch in base 36: a millisecond clock takes 8 characters instead of 13, on every event."""
    digits = ""
    while epoch:
        epoch, digit = divmod(epoch, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"
