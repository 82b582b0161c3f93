"""The routes of version 1, as one router that can be included in any FastAPI app."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.routing import Route, WebSocketRoute

from realtime.errors import RealtimeError
from realtime.principal import Principal
from transports.codec import json_line

from .conversations import ConversationEventsRoute
from .parameters import conversation_name
from .problems import CheckedRoute
from .resources import (
    active_log,
    conversation_state,
    mount_path,
    not_idle,
    resource,
    stop_state,
    wait_finished,
    wait_preference,
)
from .service import Service
from .sockets import NoHandshake, SocketRoute
from .streams import EventsRoute, StartRoute


class PageQuery(BaseModel):
    """What `GET /v1/generations` takes."""

    model_config = ConfigDict(extra="forbid")
    limit: int = Field(default=20, ge=1, le=100)
    before: str | None = Field(default=None, pattern=r"^[0-9a-f]{32}$")
    conversation: str | None = None


def create_router(service: Service) -> APIRouter:
    """All of `/v1`, ready for `app.include_router(…, prefix=…)`."""
    router = APIRouter(prefix="/v1", route_class=CheckedRoute)
    routes = router.routes
    routes.append(Route("/v1/generations", StartRoute(service), methods=["POST"]))
    routes.append(Route("/v1/generations/{generation}/events", EventsRoute(service), methods=["GET"]))
    routes.append(Route("/v1/conversations/{conversation}/events", ConversationEventsRoute(service), methods=["GET"]))
    routes.append(WebSocketRoute("/v1/ws", SocketRoute(service)))
    routes.append(Route("/v1/ws", NoHandshake(), methods=["GET"]))
    _add_generations(router, service)
    _add_conversations(router, service)
    return router


def _principal(service: Service) -> Any:
    async def principal(request: Request) -> Principal:
        return await service.principal(request.scope)

    return Depends(principal)


def _place(before: str | None, names: list[str]) -> int:
    """Where a page begins; raises `bad_request` when the one before it is no longer kept."""
    if before is None:
        return 0
    if before not in names:
        raise RealtimeError("bad_request", "before names a generation that is no longer kept.", field="before")
    return names.index(before) + 1


def _json(value: object, **headers: str) -> Response:
    return Response(json_line(value), media_type="application/json", headers={"Cache-Control": "no-store", **headers})


def _add_generations(router: APIRouter, service: Service) -> None:
    sessions, caller = service.sessions, _principal(service)

    @router.get("/generations", summary="List generations, newest first")
    async def list_generations(
        request: Request, query: Annotated[PageQuery, Query()], principal: Annotated[Principal, caller]
    ) -> Response:
        base = mount_path(request.scope)
        if query.conversation is not None:
            logs = await sessions.conversation(principal, conversation_name(query.conversation))
            newest = list(reversed(logs))
            first = _place(query.before, [log.meta.generation for log in newest])
            shown, rest = newest[first : first + query.limit], newest[first + query.limit :]
            following = shown[-1].meta.generation if rest and shown else None
        else:
            page = await sessions.page(principal, query.before, query.limit)
            shown, following = list(page.logs), page.next
        return _json({"generations": [resource(log, base, whole=False) for log in shown], "next": following})

    @router.get("/generations/{generation}", summary="A generation, with its whole message so far")
    async def get_generation(generation: str, request: Request, principal: Annotated[Principal, caller]) -> Response:
        log = await sessions.find(principal, generation)
        wait_s = wait_preference(request.scope)
        applied = {}
        if wait_s is not None:
            await wait_finished(log, request.receive, wait_s)
            applied["Preference-Applied"] = f"wait={wait_s}"
        return _json(resource(log, mount_path(request.scope), whole=True), **applied)

    @router.delete("/generations/{generation}", status_code=204, summary="Erase an ended generation")
    async def erase_generation(generation: str, principal: Annotated[Principal, caller]) -> Response:
        await sessions.erase(principal, generation)
        return Response(status_code=204, headers={"Cache-Control": "no-store"})

    @router.post("/generations/{generation}/stop", summary="Stop a generation; answered with the state it found")
    async def stop_generation(generation: str, principal: Annotated[Principal, caller]) -> Response:
        return _json(stop_state((await sessions.stop(principal, generation)).log))

    @router.get("/models", summary="Models of the configured providers")
    async def list_models(principal: Annotated[Principal, caller]) -> Response:
        return _json({"models": await sessions.models(principal)})


def _add_conversations(router: APIRouter, service: Service) -> None:
    sessions, caller = service.sessions, _principal(service)

    @router.get("/conversations/{conversation}", summary="The active and the latest generation of a conversation")
    async def get_conversation(conversation: str, principal: Annotated[Principal, caller]) -> Response:
        name = conversation_name(conversation)
        return _json(conversation_state(name, list(await sessions.conversation(principal, name))))

    @router.post("/conversations/{conversation}/stop", summary="Stop the active generation of a conversation")
    async def stop_conversation(conversation: str, principal: Annotated[Principal, caller]) -> Response:
        logs = await sessions.conversation(principal, conversation_name(conversation), "stop")
        active = not_idle(active_log(list(logs)))
        return _json(stop_state((await sessions.stop(principal, active.meta.generation)).log))
