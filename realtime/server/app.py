"""The composition root: settings in, one ASGI application out. Nothing imports this but the process that runs it."""

import logging
import os
from collections.abc import Mapping

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException

from realtime.bus.base import Bus
from realtime.bus.memory import MemoryBus
from realtime.errors import RealtimeError
from realtime.manager import SessionManager
from realtime.metrics import Metrics
from realtime.records import log_records
from transports.asgi import Receive, Scope, Send

from .auth import anonymous, bearer
from .guard import LOOPBACK_HOSTS, Guard
from .health import create_health
from .offers import read_offers
from .openapi import describe
from .pages import create_pages
from .problems import add_all_error_handlers
from .routes import create_router
from .service import Service
from .settings import Settings, split_list
from .sockets import refuse_handshake

_logger = logging.getLogger("realtime")


class Application:
    """A configured server: the ASGI app, and what the process needs of it to drain.

    Raises:
        ValueError: The providers' file will not do; says where.

    Attributes:
        sources: A line for each provider and alias, without secrets, that says where it came from.
    """

    def __init__(self, settings: Settings, env: Mapping[str, str] = os.environ) -> None:
        self.settings = settings
        self._env = env
        offers = read_offers(settings.providers_file, env, demo=settings.demo)
        self.sources = offers.sources
        registry = CollectorRegistry()
        self.sessions = SessionManager(
            offers.catalogue,
            bus=_bus(settings, registry),
            policy=settings.policy(),
            hooks=(Metrics(registry), log_records),
        )
        key = settings.key()
        authenticate = anonymous if key is None else bearer(key)
        # None of the middlewares below looks at a stream once it has begun.
        self.service = Service(self.sessions, authenticate=authenticate, limits=settings.http(), direct=True)
        playground = settings.playground if settings.playground is not None else key is None
        self.app = _build(self.service, settings, registry, playground=playground)

    def reload(self) -> None:
        """Read the providers' file again. What runs goes on as it began; a file that will not do changes nothing."""
        try:
            offers = read_offers(self.settings.providers_file, self._env, demo=self.settings.demo)
        except ValueError as error:
            # A sentence with its place; a traceback would add nothing.
            _logger.error("providers file: %s; what was offered before still is", error)  # noqa: TRY400
            return
        self.sources = offers.sources
        self.sessions.replace_catalogue(offers.catalogue)
        _logger.info("offering %s", ", ".join(offers.sources))


def _bus(settings: Settings, registry: CollectorRegistry) -> Bus:
    if settings.redis_url is None:
        return MemoryBus(settings.retention())
    # Its client takes a tenth of a second to import, and one process does without.
    from realtime.bus.redis import RedisBus  # noqa: PLC0415

    return RedisBus(settings.redis_url.get_secret_value(), settings.retention(), registry=registry)


def _build(service: Service, settings: Settings, registry: CollectorRegistry, *, playground: bool) -> FastAPI:
    app = FastAPI(
        title="realtime",
        version="1",
        lifespan=service.sessions.lifespan,
        docs_url=None,
        redoc_url=None,
        # It would name the scheme that the proxy in front uses towards us, not the one that the client used.
        redirect_slashes=False,
    )
    add_all_error_handlers(app)
    app.include_router(create_router(service))
    app.include_router(create_health(service, registry))
    app.include_router(create_pages(playground=playground))
    app.router.default = _nowhere
    describe(app)
    origins = split_list(settings.cors_origins)
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "Prefer"],
            expose_headers=["Location", "Idempotent-Replayed", "Preference-Applied", "Retry-After"],
        )
    app.add_middleware(Guard, hosts=_hosts(settings), origins=origins)
    return app


def _hosts(settings: Settings) -> tuple[str, ...]:
    own = f"[{settings.host}]" if ":" in settings.host else settings.host
    return (*LOOPBACK_HOSTS, own, *split_list(settings.allowed_hosts))


async def _nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    """Where no route is: a handshake is refused with a problem document too."""
    if scope["type"] != "websocket":
        raise HTTPException(404)
    await refuse_handshake(RealtimeError("not_found", "There is no WebSocket at that path."), receive, send)
