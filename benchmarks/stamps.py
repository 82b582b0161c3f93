"""Time inside a token: when it was due, and a mark that says it is whole.

Every payload is 16 digits of microseconds on the clock that all processes of a machine share, a mark that occurs
nowhere else on any wire here (a single byte would: a WebSocket frame's head may hold any), and padding. So a client
counts tokens and knows the age of each without parsing SSE, WebSocket or JSON, and costs the same whatever server it
measures.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable

MARK = b"|~"
DIGITS = 16
# With it a token is as long as a longish word, and our SSE frame about 150 bytes.
_PADDING = " benchmark"
_LOOK_S = 0.02


def now_us() -> int:
    return time.monotonic_ns() // 1000


def payload(due_us: int) -> str:
    """The text of a token that was due then."""
    return f"{due_us:0{DIGITS}d}{MARK.decode()}{_PADDING}"


async def until(ready: Callable[[], bool]) -> None:
    """Wait for all observers to be there."""
    while not ready():  # noqa: ASYNC110 - it is over before the window, and an event would be code in every server
        await asyncio.sleep(_LOOK_S)


async def paced(rate: float, seconds: float) -> AsyncGenerator[str]:
    """Tokens at a steady rate. One that is late keeps the stamp of when it was due, and those after it catch up."""
    start = time.monotonic()
    for n in range(int(rate * seconds)):
        yield await turn(start + n / rate)


async def turn(due: float) -> str:
    """Wait until then, and be the token that was due."""
    ahead = due - time.monotonic()
    if ahead > 0:
        await asyncio.sleep(ahead)
    return payload(int(due * 1_000_000))
