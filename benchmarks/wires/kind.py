"""What a provider's wire is made of: events by kind, each as large as a real one.

Ids, padding and fields that are always null are most of a chunk's bytes, and reading past them is most of what an
object model costs; so the events have all that a client does not read.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from realtime.providers.upstream import Translator

# What one token brings of a call's arguments; of text it brings a word.
ARGUMENTS = '{"city":"'


class Kind(NamedTuple):
    """Events of one kind.

    Attributes:
        nth: The bytes of one of them, counted from 0: of items and blocks that begin each is another one.
        lead: What has come before the first.
        delta: One comes with each token, where the others come a few times in an answer.
    """

    nth: Callable[[int], bytes]
    lead: Sequence[bytes] = ()
    delta: bool = False


class Wire(NamedTuple):
    """One provider's stream.

    Attributes:
        sdk: Has the official SDK's stream make its objects of such reads, and says of how many.
        translator: Makes ours, for one answer.
    """

    name: str
    sdk: Callable[[Sequence[bytes]], int]
    translator: Callable[[], Translator]
    kinds: Mapping[str, Kind]


def always(event: bytes, *lead: bytes, delta: bool = False) -> Kind:
    """A kind whose events are all the same."""
    return Kind(lambda _: event, lead, delta)


def named(kind: str, **fields: Any) -> bytes:
    """An event that says its type twice, as its name and in its data."""
    data = json.dumps({"type": kind, **fields}, separators=(",", ":"))
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data.encode())
