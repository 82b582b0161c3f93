"""Our server, whole, with a provider that publishes at a steady rate once enough observers are there; 0 is at once."""

import sys
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

from benchmarks.stamps import turn, until
from realtime.events import Text
from realtime.policy import Deadlines
from realtime.prompt import Prompt
from realtime.providers.base import Batch, Ended
from realtime.providers.pulled import Pulled
from realtime.server.app import Application
from realtime.server.process import create_server, listen
from realtime.server.settings import Settings


class PacedProvider:
    """See `Provider`; the same tokens whatever the prompt."""

    def __init__(self, rate: float, seconds: float, ready: Callable[[], bool]) -> None:
        self._rate = rate
        self._seconds = seconds
        self._ready = ready

    def check(self, prompt: Prompt) -> None:  # noqa: ARG002 - anything goes
        return

    def open(self, prompt: Prompt, deadlines: Deadlines) -> Pulled:  # noqa: ARG002 - nothing to ask
        return Pulled(self._stream())

    async def models(self) -> Sequence[str]:
        return ("paced",)

    async def close(self) -> None:
        return

    async def _stream(self) -> AsyncGenerator[Batch]:
        await until(self._ready)
        # Not by way of `paced`: the bare loop has one generator for a stream of tokens, too.
        start = time.monotonic()
        for n in range(int(self._rate * self._seconds)):
            yield (Text(await turn(start + n / self._rate)),)
        yield (Ended("stop"),)


def main() -> None:
    """Serve until killed."""
    port, observers, rate, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    given: dict[str, Any] = {"port": port, "log_level": "warning", "demo": True}
    settings = Settings(**given)
    application = Application(settings, env={})
    sessions = application.sessions
    provider = PacedProvider(rate, seconds, lambda: sessions.statistics().observers >= observers)
    sessions.catalogue.add("paced", provider)
    create_server(application).run(sockets=[listen(settings)])


if __name__ == "__main__":
    main()
