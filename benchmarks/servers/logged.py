"""Our server, whole, with generations whose log is full at once: `log/ended`, and `log/running`, which stays."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

from benchmarks.stamps import now_us, payload
from realtime.prompt import Prompt
from realtime.providers.generator import GeneratorProvider
from realtime.server.app import Application
from realtime.server.listening import listen
from realtime.server.process import create_server
from realtime.server.settings import Settings


def main() -> None:
    """Serve until killed."""
    port, events, wider = (int(argument) for argument in sys.argv[1:])

    async def log(prompt: Prompt) -> AsyncIterator[str]:
        for _ in range(events):
            yield payload(now_us()) + "." * wider
        if prompt.model == "running":
            await asyncio.Event().wait()

    given: dict[str, Any] = {"port": port, "log_level": "warning", "demo": True}
    settings = Settings(**given)
    application = Application(settings, env={})
    application.sessions.catalogue.add("log", GeneratorProvider(log, models=("ended", "running")))
    create_server(application).run(sockets=[listen(settings)])


if __name__ == "__main__":
    main()
