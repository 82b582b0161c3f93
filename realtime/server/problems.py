"""Failures of a FastAPI app as problem documents."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import Match

from realtime.errors import RealtimeError
from transports.asgi import problem

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

_METHODS = ("GET", "POST", "DELETE")
_STATUS_CODES = {404: "not_found", 405: "method_not_allowed", 406: "not_acceptable", 415: "unsupported_media_type"}


class CheckedRoute(APIRoute):
    """A route whose own checks of paths and queries fail as a `RealtimeError`, in whatever app it is included."""

    def get_route_handler(self) -> Handler:
        handler = super().get_route_handler()

        async def checked(request: Request) -> Response:
            try:
                return await handler(request)
            except RequestValidationError as error:
                raise _from_validation(error) from None

        return checked


def add_error_handlers(app: FastAPI) -> None:
    """Answer the router's failures with problem documents, in an app of your own; your routes' errors stay yours."""
    app.add_exception_handler(RealtimeError, _answer(lambda error: error))


def add_all_error_handlers(app: FastAPI) -> None:
    """The same for an app that is nothing but this server: unknown paths, wrong methods and bugs are answered too."""
    add_error_handlers(app)
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


def _from_validation(error: RequestValidationError) -> RealtimeError:
    """FastAPI's own checks are only of paths and queries here; its message, not its echo of the input."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:])[:64]
    return RealtimeError("bad_request", f"{field}: {str(first['msg'])[:200]}.", field=field or None)


def _from_http(error: HTTPException) -> RealtimeError:
    code = _STATUS_CODES.get(error.status_code, "bad_request" if error.status_code < 500 else "internal")
    return RealtimeError(code, "There is no such path." if code == "not_found" else "")
