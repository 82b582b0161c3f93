"""Waiting for what nobody has an event for, such as something in another process."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

_LOOK_AGAIN_S = 0.02


async def eventually(look: Callable[[], Awaitable[Any]], what: str, *, timeout_s: float = 20.0) -> float:
    """Wait until a look finds something that is true.

    Args:
        what: Said when it does not come to that.

    Returns:
        Seconds that it took.

    Raises:
        AssertionError: It did not within `timeout_s`.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not await look():
        assert loop.time() - began < timeout_s, f"not within {timeout_s:g} s: {what}"
        await asyncio.sleep(_LOOK_AGAIN_S)
    return loop.time() - began
