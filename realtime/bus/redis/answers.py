"""What Redis answers, or that it does not, in our words."""

import logging
from collections.abc import Awaitable
from typing import Any, TypeVar

from redis.exceptions import AskError, ClusterDownError, OutOfMemoryError, RedisError, TryAgainError

from realtime.errors import RealtimeError

_logger = logging.getLogger("realtime")

# For whoever is refused because of it.
_RETRY_AFTER_S = 5.0

# Answers that say nothing of the command: that nobody has come to answer it, and with these that its keys are on their
# way from one node to another. None of it was done.
AWAY = (RealtimeError, ClusterDownError)
PASSING = (*AWAY, AskError, TryAgainError)

_T = TypeVar("_T")


def refused(answer: Any) -> RealtimeError | None:
    """The error that one of several answers is, if it is one."""
    if isinstance(answer, RealtimeError):
        return answer
    if isinstance(answer, OutOfMemoryError):
        return fault("bus_full")
    if isinstance(answer, Exception):
        _logger.warning("redis: %s", type(answer).__name__)
        return fault("bus_unavailable")
    return None


async def in_our_words(answer: Awaitable[_T]) -> _T:
    """Await an answer; raises RealtimeError, and nothing of redis-py's."""
    try:
        return await answer
    except OutOfMemoryError:
        raise fault("bus_full") from None
    except (RedisError, OSError, TimeoutError) as error:
        _logger.warning("redis: %s", type(error).__name__)
        raise fault("bus_unavailable") from None


def fault(code: str) -> RealtimeError:
    """One that says when to come again."""
    return RealtimeError(code, retry_after_s=_RETRY_AFTER_S)
