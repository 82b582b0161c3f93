"""Providers that do anything wrong, and repeat key and prompt while they do: one terminal event with the right code,
what was said is kept, another try where one may help, and no secret in a log line, on any wire or in the metrics."""

import asyncio
import json
import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from realtime.server.log_format import configure_logging

from .chance import chance
from .provider_scene import Scene, acting
from .provider_wires import SECRET

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

_AT_ONCE = 100
# Generations of one server; the next one begins with nothing.
_ROUND = 700


class _Log:
    """A stderr that counts its lines, and keeps those that should never have been written."""

    def __init__(self) -> None:
        self.lines = 0
        self.telling: list[str] = []

    def write(self, text: str) -> None:
        self.lines += text.count("\n")
        if SECRET in text or "Traceback" in text:
            self.telling.append(text)

    def flush(self) -> None:
        """There is nothing behind it."""


@contextmanager
def logging_to(log: _Log) -> Iterator[None]:
    """Have all that the server logs at the lowest level written there, as it writes it, and nowhere else.

    No fixture, since pytest keeps every record of the loggers that it sees when a test begins.
    """
    loggers = [logging.getLogger(name) for name in ("realtime", "uvicorn")]
    kept = [(logger, logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", log)
        configure_logging("json", "debug")
    try:
        yield
    finally:
        for logger, handlers, level, propagate in kept:
            logger.handlers[:], logger.propagate = handlers, propagate
            logger.setLevel(level)


async def test_faults(amount: Callable[[int, int], int]) -> None:
    """As many generations as it takes for so many lines; `-s` shows what was drawn."""
    rng, log, lines = chance(), _Log(), amount(4_000, 1_000_000)
    seen: Counter[str] = Counter()
    transcripts = 0
    with logging_to(log):
        while log.lines < lines:
            async with acting(rng) as scene:
                await _play(scene)
            seen += scene.seen
            transcripts += scene.transcripts
    assert log.telling == []
    print(json.dumps({"lines": log.lines, "generations": seen.total(), "transcripts": transcripts, **seen}))


async def _play(scene: Scene) -> None:
    numbers = iter(range(1, 1 + _ROUND))

    async def fail_some() -> None:
        for number in numbers:
            await scene.fail_one(number)

    async with asyncio.TaskGroup() as failing:
        for _ in range(_AT_ONCE):
            failing.create_task(fail_some())
    await scene.settle()
