"""Whether a Redis will do, asked before anything is served with it; and why not, in words for whoever has set it up.

A bus that is open only says that Redis is away, since that is all its callers can be told. At the start somebody is
there who can mend the address, the password or the certificate, and has to know which.
"""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from urllib.parse import urlsplit

from redis.asyncio.sentinel import MasterNotFoundError
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    NoPermissionError,
    RedisError,
    ResponseError,
)

from realtime.errors import RealtimeError

from .cluster import nodes_of
from .keys import asked
from .nodes import CALL_S, Node, Place
from .one import One

# A Redis that is started beside its servers may come a moment after them.
_PATIENCE_S, _AGAIN_S = 2 * CALL_S, 0.25
_OLDEST = 7

# Nothing of what Redis answers is repeated: an old one says the command again, and in that is the password.
_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (MasterNotFoundError, "no Sentinel answers that knows a master of that name"),
    (AuthenticationError, "the user or the password is wrong, or missing"),
    (NoPermissionError, "the user lacks a right, of those that docs/redis.md lists"),
    (BusyLoadingError, "it is still reading what it has kept"),
    (ClusterDownError, "the cluster is down"),
    (ResponseError, f"it is older than {_OLDEST}.0, has no such database, or is in no cluster"),
    (socket.gaierror, "the name is not known"),
    (ConnectionRefusedError, "the connection is refused"),
    (ssl.SSLCertVerificationError, "its certificate is not trusted"),
    (FileNotFoundError, "a file of certificates that is named there does not exist"),
    (ConnectionError, "the connection is cut; it may want TLS, or a certificate"),
    (TimeoutError, f"no answer within {CALL_S:g} s; rediss:// asks for TLS"),
)


class _UnfitError(Exception):
    """It answers, and will not do; why, in words."""


async def reach(url: str) -> None:
    """Return when a Redis answers that will do; of a cluster, any node. One that does not answer is tried again for
    some four seconds.

    Args:
        url: See `One` and `Cluster`.

    Raises:
        ValueError: It is none. Nothing is said of it, since what cannot be read may be a password.
        RealtimeError: `bus_unavailable`; its message names the hosts and says why.
    """
    parts, one = urlsplit(url), None
    if parts.scheme.endswith("+cluster"):
        nodes = nodes_of(parts)
    else:
        one = One(url)
        nodes = [one.node(Place("", 0))]
    try:
        error = await _last_fault(nodes, of_cluster=one is None)
    finally:
        await asyncio.gather(*(closed.close() for closed in ([one] if one is not None else nodes)))
    if error is not None:
        raise RealtimeError("bus_unavailable", f"{_hosts(url)}{_why(error)}.")


async def _last_fault(nodes: Sequence[Node], *, of_cluster: bool) -> Exception | None:
    """What was wrong in the end; None where any of them will do."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _PATIENCE_S
    while True:
        errors = await asyncio.gather(*(_fault(node, of_cluster=of_cluster) for node in nodes))
        if None in errors:
            return None
        if all(map(_is_final, errors)) or loop.time() > deadline:
            return errors[0]
        await asyncio.sleep(_AGAIN_S)


async def _fault(node: Node, *, of_cluster: bool) -> Exception | None:
    """What is wrong with one; None where it will do."""
    try:
        await _try(node, of_cluster=of_cluster)
    except TypeError:
        # redis-py, of a connection that it was to make.
        raise ValueError("an option that is unknown") from None
    except (RedisError, OSError, TimeoutError, _UnfitError) as error:
        return error
    return None


async def _try(node: Node, *, of_cluster: bool) -> None:
    """Ask who it is, and to hear something."""
    hello, *state = await node.ask([("HELLO", 3), *([("CLUSTER", "INFO")] if of_cluster else [])])
    for answer in (hello, *state):
        if isinstance(answer, Exception):
            raise answer
    version = hello[b"version"].decode()
    if int(version.partition(".")[0]) < _OLDEST:
        raise _UnfitError(f"it is Redis {version}, and {_OLDEST}.0 is the oldest that will do")
    if of_cluster and b"cluster_state:ok" not in state[0]:
        raise ClusterDownError("CLUSTERDOWN")
    listener = node.listener()
    try:
        async with asyncio.timeout(CALL_S):
            await listener.subscribe(asked(0))
            await listener.get_message(timeout=None)
    finally:
        await listener.aclose()  # type: ignore[no-untyped-call]


def _is_final(error: Exception | None) -> bool:
    """Whether it has answered, and would answer the same again."""
    passing = isinstance(error, ClusterDownError)
    return not passing and isinstance(error, (_UnfitError, AuthenticationError, ResponseError))


def _hosts(url: str) -> str:
    """Where it was looked for; nothing where what stands there may be of a password that was not encoded."""
    netloc = urlsplit(url).netloc
    rest = url.partition("://")[2].removeprefix(netloc)
    return "" if "@" in rest else f"{netloc.rpartition('@')[2]}: "


def _why(error: Exception) -> str:
    """In words. What redis-py raises says less than what it was raised for."""
    if isinstance(error, _UnfitError):
        return str(error)
    both = (error, error.__context__)
    found = (words for kind, words in _WORDS if any(isinstance(each, kind) for each in both))
    return next(found, "it cannot be connected to")
