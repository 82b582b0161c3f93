"""Routes for machines: alive, ready, and the metrics."""

from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from realtime.errors import RealtimeError

from .service import Service
from .shared_figures import are_figures_shared

# What is true of this moment is true of no other.
_NO_STORE = {"Cache-Control": "no-store"}
_DRAINING: dict[str, Any] = {
    "description": "It is shutting down",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def create_health(service: Service, registry: CollectorRegistry) -> APIRouter:
    """`/livez`, `/healthz`, `/readyz` and `/metrics`, for GET and HEAD; unauthenticated, they say nothing of anyone."""
    router = APIRouter(tags=["machines"])
    if are_figures_shared():
        MultiProcessCollector(registry := CollectorRegistry())  # type: ignore[no-untyped-call]

    @router.head("/livez", include_in_schema=False)
    @router.get("/livez", summary="The process answers")
    @router.head("/healthz", include_in_schema=False)
    @router.get("/healthz", summary="The process answers")
    async def alive(response: Response) -> dict[str, str]:
        response.headers.update(_NO_STORE)
        return {"status": "ok"}

    @router.head("/readyz", include_in_schema=False)
    @router.get(
        "/readyz",
        summary="New generations are taken; 503 while draining, or while the bus is out of reach",
        responses={503: _DRAINING},
    )
    async def ready(response: Response) -> dict[str, str]:
        response.headers.update(_NO_STORE)
        if service.sessions.draining:
            raise RealtimeError("draining", retry_after_s=5)
        if not service.sessions.healthy:
            raise RealtimeError("bus_unavailable", retry_after_s=5)
        return {"status": "ready"}

    @router.get("/metrics", summary="Prometheus metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST, **_NO_STORE})

    return router
