"""A shutdown that loses nothing.

uvicorn ends a busy server in one of two ways, waiting for ever or cutting streams off, and runs the lifespan's end only
after either. So the drain is here, before uvicorn's own shutdown: starts are refused, what runs goes on with its
observers attached, and only when the last generation has ended are connections told goodbye.
"""

import asyncio
import gc
import logging
import signal
import socket
from types import FrameType

import uvicorn

from .service import Service

_logger = logging.getLogger("realtime")

# A second signal means it.
_HURRY_S = 5.0


class DrainingServer(uvicorn.Server):
    """A uvicorn server that drains before it shuts down; use it in place of `uvicorn.Server` for an app of your own.

    Args:
        service: What is served, on whatever path of the app.
        drain_timeout_s: How long generations that run may go on after the first signal.
    """

    def __init__(self, config: uvicorn.Config, service: Service, *, drain_timeout_s: float = 600.0) -> None:
        super().__init__(config)
        self._service = service
        self._drain_timeout_s = drain_timeout_s
        self._hurry = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # Imports made some 300,000 objects that will never be garbage; a full collection over them stops every
        # stream for 150 ms.
        gc.collect()
        gc.freeze()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a signal handler's form
        if self.should_exit:
            self._hurry.set()
        # uvicorn also keeps the signal, to die of it in the end. A drain that was asked for and done is a success: 0.
        self.should_exit = True
        _logger.info("%s: draining", signal.Signals(sig).name)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, say goodbye, then let uvicorn close what is left. The listener stays open until then: the logs are
        in this process, and an observer that reconnects must find them."""
        sessions, timeout_s = self._service.sessions, self._drain_timeout_s
        drain = asyncio.create_task(sessions.drain(timeout_s))
        hurry = asyncio.create_task(self._hurry.wait())
        await asyncio.wait({drain, hurry}, return_when=asyncio.FIRST_COMPLETED)
        if not drain.done():
            drain.cancel()
            await asyncio.wait({drain})
            await sessions.drain(min(_HURRY_S, timeout_s))
        hurry.cancel()
        await self._service.farewell()
        await super().shutdown(sockets)
