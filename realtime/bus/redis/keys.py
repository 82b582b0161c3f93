"""Names in Redis. Everything of one generation is in one slot of a cluster, and everything of one tenant in another.

`rt1` is the version of what is stored: workers of two releases may share one Redis while one replaces the other, and a
release that stores something else takes another name and shares nothing.
"""

from typing import NamedTuple
from urllib.parse import quote, unquote
from zlib import crc32

_PREFIX = "rt1"
# Of the whole deployment, so never to be changed under one name: a process listens to those whose generations it
# drives or shows. Few enough that all of them are one small sweep, enough that most messages are of interest.
LANES = 64


class LogKeys(NamedTuple):
    """Of one generation.

    Attributes:
        log: A stream; an entry is a batch of events under the number of its last.
        meta: A hash: whose it is, how far it is, who may write it.
        seen: A sorted set of the processes that show it, by when that is to be renewed.
        leases: A sorted set of the lane: what is driven, by when that is to be renewed.
        told: Where its events are told, to those who show it.
        asked: Where everything else is told, to whoever writes it too.
        member: How `leases` names it.
    """

    log: str
    meta: str
    seen: str
    leases: str
    told: str
    asked: str
    member: str


def lane_of(name: str) -> int:
    """The lane of a generation or of a conversation."""
    return crc32(name.encode()) % LANES


def told(lane: int) -> str:
    """Where the events of a lane are told."""
    return f"{_PREFIX}:{{{lane}}}:told"


def asked(lane: int) -> str:
    """Where the stops, the observers and the conversations of a lane are told."""
    return f"{_PREFIX}:{{{lane}}}:asked"


def channels(lane: int, *, events: bool) -> tuple[str, ...]:
    """Where a lane is told, for whoever wants its events too or does not."""
    return (asked(lane), told(lane)) if events else (asked(lane),)


def leases(lane: int) -> str:
    """What is driven in a lane."""
    return f"{_PREFIX}:{{{lane}}}:leases"


def log_keys(tenant: str, generation: str) -> LogKeys:
    """The keys of a generation. A tenant's name is quoted: it comes from an application, and may hold anything."""
    lane = lane_of(generation)
    base = f"{_PREFIX}:{{{lane}}}:{_quoted(tenant)}:{generation}"
    return LogKeys(
        f"{base}:log",
        f"{base}:meta",
        f"{base}:seen",
        leases(lane),
        told(lane),
        asked(lane),
        f"{_quoted(tenant)}:{generation}",
    )


def of_member(member: str) -> tuple[str, str]:
    """Tenant and generation that `leases` names."""
    tenant, _, generation = member.partition(":")
    return unquote(tenant), generation


class TenantKeys(NamedTuple):
    """What a tenant's subject has claimed, and what there is of it.

    Attributes:
        all: A sorted set of the tenant's generations by their creation.
        own: The same, of one subject; `all` for one who owns them all.
    """

    base: str
    all: str
    own: str

    def idempotency(self, key: str | None) -> str:
        """A hash: the generation that a key made, and of which request."""
        return self.all if key is None else f"{self.own}:key:{_quoted(key)}"

    def conversation(self, name: str) -> str:
        """A sorted set of a conversation's generations by their creation, whoever made them."""
        return f"{self.base}:talk:{_quoted(name)}"

    def active(self, name: str) -> str:
        """The generation that a subject's part of a conversation waits for."""
        return f"{self.own}:active:{_quoted(name)}"


def tenant_keys(tenant: str, subject: str | None) -> TenantKeys:
    """The keys of a tenant and one of its subjects."""
    base = f"{_PREFIX}:{{t:{_quoted(tenant)}}}"
    everything = f"{base}:all"
    return TenantKeys(base, everything, everything if subject is None else f"{base}:of:{_quoted(subject)}")


def talk_name(tenant: str, conversation: str) -> str:
    """How messages name a conversation."""
    return f"{_quoted(tenant)}:{_quoted(conversation)}"


def echo_channel(worker: str, lane: int) -> str:
    """Where a process hears itself, from wherever that lane is told."""
    return f"{_PREFIX}:{{{lane}}}:echo:{worker}"


def _quoted(name: str) -> str:
    """Without a brace or a colon, which mean something in a key."""
    return quote(name, safe="")
