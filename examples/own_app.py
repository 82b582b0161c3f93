"""The routers in an app of one's own: its users, its agents, its database, its page.

    python examples/own_app.py        and http://127.0.0.1:8000 has the page, /docs the reference

    curl -N http://127.0.0.1:8000/ai/v1/generations -H "Authorization: Bearer alice-key" \\
      -H "Content-Type: application/json" -d '{"model": "agent/default", "prompt": "Oslo", "stream": true}'
"""

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from http.cookies import SimpleCookie
from pathlib import Path

import msgspec
from fastapi import FastAPI
from fastapi.responses import FileResponse

from realtime import Data, Event, Message, Principal, Prompt, RealtimeError, SessionManager, StartRequest, Summary
from realtime.events import ToolCall, ToolResult
from realtime.manager import OnFinished
from realtime.providers.generator import GeneratorProvider
from realtime.server.connections import configure
from realtime.server.draining import DrainingServer
from realtime.server.guard import Guard
from realtime.server.openapi import describe
from realtime.server.pages import create_pages
from realtime.server.problems import add_error_handlers
from realtime.server.routes import create_router
from realtime.server.service import Service
from transports.asgi import Scope, header

# Keys and users; yours are in a database.
USERS = {"alice-key": "alice", "bob-key": "bob"}
PAYING = {"alice"}

# Callers name a query, never SQL. This one has as many rows as the prompt asks for.
QUERIES = {
    "squares": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT i, i * i FROM n"
}


async def agent(prompt: Prompt) -> AsyncIterator[str | Event]:
    """Whatever thinks: text as `str`, tools and data as events. A stop closes it at the `await` it is at."""
    city, days = str(prompt.messages[-1].content), prompt.options.get("days", 3)
    if not isinstance(days, int):
        raise RealtimeError("bad_request", "days is a whole number.", field="options.days")
    yield "Let me look. "
    yield ToolCall("call-1", "forecast", provider_run=True)
    await asyncio.sleep(0.05)
    forecast = {"city": city, "sky": "clear"}
    yield ToolResult("call-1", forecast)
    yield Data("forecast", forecast)
    for day in range(1, days + 1):
        await asyncio.sleep(0.02)
        yield f"Day {day}: {forecast['sky']}. "


def rows(prompt: Prompt) -> Iterator[Event]:
    """Rows of a query. A plain generator has a thread of its own, so it may block; a stop ends it at its next row."""
    wanted = prompt.messages[-1].content
    if not (isinstance(wanted, str) and wanted.isascii() and wanted.isdecimal()):
        raise RealtimeError("bad_request", "The prompt is the number of rows.", field="prompt")
    with closing(sqlite3.connect(":memory:")) as database:
        for number, square in database.execute(QUERIES[prompt.model], (int(wanted),)):
            yield Data("row", {"number": number, "square": square})


async def authenticate(scope: Scope) -> Principal:
    """Who is calling: a key from programs, a cookie from browsers, whose `EventSource` can send no header.

    A subject sees and stops only its own generations; another's do not exist for it.
    """
    cookie = SimpleCookie(header(scope, b"cookie") or "").get("key")
    bearer = (header(scope, b"authorization") or "").removeprefix("Bearer ")
    user = USERS.get(cookie.value if cookie and not bearer else bearer)
    if user is None:
        raise RealtimeError("unauthorized", "Sign in, or send Authorization: Bearer <key>.")
    return Principal(tenant="example", subject=user)


async def admit(principal: Principal, request: StartRequest) -> StartRequest:
    """Before a start: refuse it with an error of the table, or change it."""
    if request.provider == "sql":
        if principal.subject not in PAYING:
            raise RealtimeError("forbidden", "Queries are part of the paid plan.", field="model")
        # As many rows as there are, in flat memory: the query waits for its slowest reader.
        return msgspec.structs.replace(request, retain="window")
    return request


async def save(summary: Summary, message: Message) -> None:
    """After the end, however it ended: awaited once for each generation, also by the shutdown."""
    print(f"{summary.subject} {summary.provider} {summary.outcome}: {message.text[:60]!r}", flush=True)


def create_service(on_finished: OnFinished = save) -> Service:
    """What starts, finds and stops generations."""
    providers = {
        "agent": GeneratorProvider(agent, options=("days",)),
        "sql": GeneratorProvider(rows, models=tuple(QUERIES)),
    }
    sessions = SessionManager(providers, before_start=admit, on_finished=on_finished)
    return Service(sessions, authenticate=authenticate)


def create_app(service: Service) -> FastAPI:
    """Yours; what is ours in it is below `/ai`, but for the reference at `/docs`."""
    # A lifespan of your own does `async with service.sessions.lifespan():`.
    app = FastAPI(title="Own app", lifespan=service.sessions.lifespan, docs_url=None)
    app.include_router(create_router(service), prefix="/ai")
    app.include_router(create_pages(playground=False))
    describe(app)
    add_error_handlers(app)
    # Loopback only, until you name your hosts. Other pages are kept out, which is what makes a cookie safe here.
    app.add_middleware(Guard)

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        response = FileResponse(Path(__file__).with_name("browser.html"))
        response.set_cookie("key", "alice-key", httponly=True, samesite="strict")  # What your login does.
        return response

    return app


def main(port: int) -> None:
    """Serve until SIGTERM, then let what runs finish within a minute."""
    service = create_service()
    DrainingServer(configure(create_app(service), port=port), service, drain_timeout_s=60).run()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
