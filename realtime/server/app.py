"""The composition root: settings in, one ASGI application out. Nothing imports this but the process that runs it."""

import os
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException
from starlette.routing import Match

from realtime.bus.memory import MemoryBus
from realtime.errors import RealtimeError
from realtime.manager import SessionManager
from realtime.metrics import Metrics
from realtime.records import log_records
from transports.asgi import Receive, Scope, Send, problem

from .auth import anonymous, bearer
from .found import Found, find_providers
from .guard import LOOPBACK_HOSTS, Guard
from .health import create_health
from .openapi import describe
from .pages import create_pages
from .routes import create_router
from .service import Service
from .settings import Settings, split_list
from .sockets import refuse_handshake

_METHODS = ("GET", "POST", "DELETE")
_STATUS_CODES = {404: "not_found", 405: "method_not_allowed", 406: "not_acceptable", 415: "unsupported_media_type"}


class Application:
    """A configured server: the ASGI app, and what the process needs of it to drain."""

    def __init__(self, settings: Settings, env: Mapping[str, str] = os.environ) -> None:
        self.settings = settings
        self.found: list[Found] = find_providers(env, demo=settings.demo)
        registry = CollectorRegistry()
        self.sessions = SessionManager(
            {found.alias: found.provider for found in self.found},
            bus=MemoryBus(settings.retention()),
            policy=settings.policy(),
            hooks=(Metrics(registry), log_records),
        )
        key = settings.key()
        authenticate = anonymous if key is None else bearer(key)
        self.service = Service(self.sessions, authenticate=authenticate, limits=settings.http())
        playground = settings.playground if settings.playground is not None else key is None
        self.app = _build(self.service, settings, registry, playground=playground)


def _build(service: Service, settings: Settings, registry: CollectorRegistry, *, playground: bool) -> FastAPI:
    app = FastAPI(title="realtime", version="1", lifespan=service.sessions.lifespan, docs_url=None, redoc_url=None)
    add_error_handlers(app)
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


def add_error_handlers(app: FastAPI) -> None:
    """Answer every failure with a problem document; call it on an app of your own that includes the router."""
    app.add_exception_handler(RealtimeError, _answer(lambda error: error))
    app.add_exception_handler(RequestValidationError, _answer(_from_validation))
    app.add_exception_handler(HTTPException, _answer(_from_http))
    app.add_exception_handler(Exception, _answer(lambda _: RealtimeError("internal")))


def _answer(translate: Callable[[Any], RealtimeError]) -> Callable[[Request, Exception], Response]:
    def handle(request: Request, error: Exception) -> Response:
        status, headers, body = problem(translate(error))
        if status == 405:
            headers.append((b"allow", ", ".join(_allowed_methods(request)).encode()))
        response = Response(body, status)
        response.raw_headers = [*headers, (b"content-length", str(len(body)).encode())]
        return response

    return handle


def _allowed_methods(request: Request) -> list[str]:
    """What the path can be asked with, by all of its routes; Starlette names those of the first it finds."""
    routes = request.app.routes
    return [
        method
        for method in _METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]


async def _nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    """Where no route is: a handshake is refused with a problem document too."""
    if scope["type"] != "websocket":
        raise HTTPException(404)
    await refuse_handshake(RealtimeError("not_found", "There is no WebSocket at that path."), receive, send)


def _from_validation(error: RequestValidationError) -> RealtimeError:
    """FastAPI's own checks are only of paths and queries here; its message, not its echo of the input."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:])[:64]
    return RealtimeError("bad_request", f"{field}: {str(first['msg'])[:200]}.", field=field or None)


def _from_http(error: HTTPException) -> RealtimeError:
    code = _STATUS_CODES.get(error.status_code, "bad_request" if error.status_code < 500 else "internal")
    return RealtimeError(code, "There is no such path." if code == "not_found" else "")
