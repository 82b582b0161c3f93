"""Our server, whole, with a provider that publishes at a steady rate once enough observers are there; 0 is at once."""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

from benchmarks.stamps import turn, until
from realtime.events import Text
from realtime.policy import Deadlines
from realtime.prompt import Prompt
from realtime.providers.base import Ended, Take
from realtime.server.app import Application
from realtime.server.listening import listen
from realtime.server.process import create_server
from realtime.server.settings import Settings


class PacedProvider:
    """See `Provider` and `ProviderStream`; the same tokens whatever the prompt."""

    def __init__(self, rate: float, seconds: float, ready: Callable[[], bool]) -> None:
        self._rate = rate
        self._seconds = seconds
        self._ready = ready

    def check(self, prompt: Prompt) -> None:  # noqa: ARG002 - anything goes
        return

    def open(
        self,
        prompt: Prompt,  # noqa: ARG002 - nothing to ask
        deadlines: Deadlines,  # noqa: ARG002 - nor to wait for
    ) -> AbstractAsyncContextManager["PacedProvider"]:
        return nullcontext(self)

    async def models(self) -> Sequence[str]:
        return ("paced",)

    async def close(self) -> None:
        return

    async def run(self, take: Take) -> None:
        """See `ProviderStream`; pushed, as our own providers push."""
        await until(self._ready)
        start = time.monotonic()
        for n in range(int(self._rate * self._seconds)):
            waiting = take((Text(await turn(start + n / self._rate)),))
            if waiting is not None:
                await waiting
        take((Ended("stop"),))


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
