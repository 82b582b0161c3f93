"""The real server, as `realtime serve` builds it, on a free port of this loop.

It is in the test's own loop, so a test can wait for what it sees inside (an observer attached, a log at some length)
instead of sleeping; and several can run side by side, because nothing of it is global: uvicorn's signal handlers, which
are, stay out.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from realtime.log import EventLog
from realtime.manager import SessionManager
from realtime.principal import ANONYMOUS
from realtime.providers.base import Provider
from realtime.server.app import Application
from realtime.server.listening import listen
from realtime.server.process import create_server
from realtime.server.settings import Settings


class Address(NamedTuple):
    """Where something listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """As clients take it."""
        return f"http://{self.host}:{self.port}"


class RunningServer:
    """A server that answers; see `serving`."""

    def __init__(self, application: Application, address: Address) -> None:
        self.application = application
        self.address = address

    @property
    def url(self) -> str:
        """As clients take it."""
        return self.address.url

    @property
    def sessions(self) -> SessionManager:
        """What drives its generations."""
        return self.application.sessions

    async def log(self, generation: str) -> EventLog:
        """The log of a generation, to look at and to wait on."""
        log = await self.sessions._bus.find(ANONYMOUS.tenant, generation)
        assert log is not None, f"{generation} is not kept"
        return log

    async def finished(self, generation: str, timeout_s: float = 20.0) -> EventLog:
        """Wait for the end of a generation."""
        log = await self.log(generation)
        async with asyncio.timeout(timeout_s):
            while log.finished is None:
                await log.wait(log.head)
        return log

    async def reached(self, generation: str, seq: int, timeout_s: float = 20.0) -> EventLog:
        """Wait for a generation to hold the event numbered `seq`."""
        log = await self.log(generation)
        async with asyncio.timeout(timeout_s):
            while log.head < seq:
                assert log.finished is None, f"it ended at {log.head}"
                await log.wait(log.head)
        return log


@asynccontextmanager
async def serving(
    providers: Mapping[str, Provider] | None = None,
    *,
    prepare: Callable[[Application], None] | None = None,
    direct: bool = True,
    **settings: Any,
) -> AsyncIterator[RunningServer]:
    """Run a server until the block is left; what still runs then is ended as by a SIGTERM without patience.

    Args:
        providers: Beside the demo, by alias.
        prepare: Called with the application before it listens.
        direct: See `Service`.
        settings: Fields of `Settings`.
    """
    defaults: dict[str, Any] = {"host": "127.0.0.1", "port": 0, "demo": True, "drain_timeout_s": 0}
    application = Application(Settings(**{**defaults, **settings}), env={})
    for alias, provider in (providers or {}).items():
        application.sessions.catalogue.add(alias, provider)
    application.service.direct = direct
    if prepare is not None:
        prepare(application)
    sock = listen(application.settings)
    address = Address(*sock.getsockname()[:2])
    server = create_server(application)
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup([sock])
    ticking = asyncio.create_task(server.main_loop())
    try:
        yield RunningServer(application, address)
    finally:
        ticking.cancel()
        await asyncio.wait({ticking})
        await server.shutdown([sock])
        # The lifespan's task has one more step to make before the loop may close.
        await asyncio.sleep(0)
