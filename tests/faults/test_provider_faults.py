"""Providers that do anything wrong, and repeat key and prompt while they do: one terminal event with the right code,
what was said is kept, another try where one may help, no connection is kept, and no secret is in a log line, on any
wire, in what hooks are given or in the metrics."""

import asyncio
import json
import logging
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import uvloop

from realtime.server.log_format import configure_logging

from .chance import chance
from .provider_scene import Scene, acting
from .provider_wires import SECRET

pytestmark = [pytest.mark.slow, pytest.mark.timeout(5400)]

# Some wait for a deadline while others have the core; more of them would only make each one late.
_AT_ONCE = 50
# The HTTP client that both SDKs are made on.
_BELOW = "httpx2"
# In no line: what was told to a provider, an exception that nobody caught, and one that has no code of its own.
_NEVER = (SECRET, "Traceback", "unforeseen")


class _Log:
    """A stderr that counts its lines, and keeps those that should never have been written.

    Attributes:
        below: Lines of the HTTP client below the providers' SDKs, which are among `lines`.
    """

    def __init__(self) -> None:
        self.lines = self.below = 0
        self.telling: list[str] = []

    def write(self, text: str) -> None:
        lines = text.count("\n")
        self.lines += lines
        if f'"logger":"{_BELOW}"' in text:
            self.below += lines
        if any(never in text for never in _NEVER):
            self.telling.append(text)

    def flush(self) -> None:
        """There is nothing behind it."""


@contextmanager
def logging_to(log: _Log) -> Iterator[None]:
    """Have all that the server logs at the lowest level written there, as it writes it, and nowhere else.

    And the HTTP client's lines, which only an application shows that has turned them on. The SDKs' are left out: at
    that level they hold the prompt. No fixture, since pytest keeps every record of the loggers that it sees when a test
    begins.
    """
    ours, below = logging.getLogger("realtime"), logging.getLogger(_BELOW)
    loggers = [ours, logging.getLogger("uvicorn"), below]
    kept = [(logger, logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", log)
        configure_logging("json", "debug")
    below.handlers[:], below.propagate = ours.handlers, False
    below.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        for logger, handlers, level, propagate in kept:
            logger.handlers[:], logger.propagate = handlers, propagate
            logger.setLevel(level)


def test_faults(amount: Callable[[int, int], int]) -> None:
    """As many generations as it takes for so many lines; `-s` shows, after each round, how far it has come."""
    log = _Log()
    # The loop of `realtime serve`, which takes a sixth less for all this than asyncio's.
    with logging_to(log), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_fail(log, amount(4_000, 1_000_000), amount(500, 2_000)))
    assert log.telling == []


async def _fail(log: _Log, lines: int, most: int) -> None:
    """Play rounds of so many generations until there are so many lines."""
    async with acting(chance()) as scene:
        while log.lines < lines:
            async with scene.round():
                await _play(scene, most)
            assert log.telling == []
            print(json.dumps(_reached(log, scene)), flush=True)
    print(json.dumps(scene.seen))


async def _play(scene: Scene, most: int) -> None:
    numbers = iter(range(most))

    async def fail_some(place: int) -> None:
        for _ in numbers:
            await scene.fail_one(place)

    async with asyncio.TaskGroup() as failing:
        for place in range(_AT_ONCE):
            failing.create_task(fail_some(place))


def _reached(log: _Log, scene: Scene) -> dict[str, int]:
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    met = scene.seen.total()
    reached = {"lines": log.lines, "below": log.below, "generations": met, "transcripts": scene.transcripts}
    return reached | {"peak_mib": peak_mib}
