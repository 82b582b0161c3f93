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
import time
from collections.abc import Awaitable, Callable
from types import FrameType

import uvicorn

from .service import Service

_logger = logging.getLogger("realtime")

# A second signal means it.
_HURRY_S = 5.0
# How many collections of the middle generation make a full one, instead of 10: one for some seven million objects.
_FULL_COLLECTIONS = 1000
# What one who reads slowly, or asked for a slow pace, may take for the rest of what has ended; it is nowhere else.
_FAREWELL_S = 30.0


class DrainingServer(uvicorn.Server):
    """A uvicorn server that drains before it shuts down; use it in place of `uvicorn.Server` for an app of your own.

    Args:
        service: What is served, on whatever path of the app.
        drain_timeout_s: How long generations that run may go on after the first signal.
        reload: Called on SIGHUP, where there is such a signal.
        echo_s: For so long a second signal is the first one again. To a process with a parent that passes signals on,
            one comes twice where all are sent it: by a terminal to whatever runs in it, by systemd to all of a
            service.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        service: Service,
        *,
        drain_timeout_s: float = 600.0,
        reload: Callable[[], None] | None = None,
        echo_s: float = 0.0,
    ) -> None:
        super().__init__(config)
        self._service = service
        self._drain_timeout_s = drain_timeout_s
        self._reload = reload
        self._echo_s = echo_s
        self._told = 0.0
        self._hurry = asyncio.Event()
        self._collect = gc.get_threshold()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._reload is not None and hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)
        # Imports made some 300,000 objects that will never be garbage; a full collection over them stops every
        # stream for 150 ms.
        gc.collect()
        gc.freeze()
        # And with 200 generations there are 70,000 more, where it takes 50 ms and finds next to nothing: what runs here
        # is let go by reference counts.
        gc.set_threshold(*self._collect[:2], _FULL_COLLECTIONS)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a signal handler's form
        now = time.monotonic()
        if not self.should_exit:
            self._told = now
        elif now - self._told >= self._echo_s:
            self._hurry.set()
        # uvicorn also keeps the signal, to die of it in the end. A drain that was asked for and done is a success: 0.
        self.should_exit = True
        _logger.info("%s: draining", signal.Signals(sig).name)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, say goodbye, then let uvicorn close what is left. The listener stays open until then: the logs are
        in this process, and an observer that reconnects must find them."""
        timeout_s = self._drain_timeout_s
        await self._patiently(self._service.sessions.drain, timeout_s)
        await self._patiently(self._service.farewell, min(_FAREWELL_S, max(_HURRY_S, timeout_s)))
        await super().shutdown(sockets)
        gc.set_threshold(*self._collect)
        # Where the process goes on, what was alive at its start may be garbage by now.
        gc.unfreeze()

    async def _patiently(self, leave: Callable[[float], Awaitable[None]], timeout_s: float) -> None:
        """Take one step with that much patience, and with little as soon as there is a second signal."""
        step = asyncio.ensure_future(leave(timeout_s))
        hurry = asyncio.create_task(self._hurry.wait())
        await asyncio.wait({step, hurry}, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not step.done():
            step.cancel()
            await asyncio.wait({step})
            step = asyncio.ensure_future(leave(min(_HURRY_S, timeout_s)))
        await step
