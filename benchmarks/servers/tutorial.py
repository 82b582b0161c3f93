"""What the tutorials teach: FastAPI, sse-starlette, a queue per subscriber, the SDK's objects, a check per event.

`fanout` broadcasts through one `asyncio.Queue` per subscriber; `many` streams a generator to each caller; `gateway`
turns the chunks of the OpenAI SDK into events. Run by uvicorn on uvloop and httptools, without an access log, as anyone
who cares would.
"""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, Request
from openai import AsyncOpenAI
from pydantic import BaseModel
from sse_starlette import EventSourceResponse

from benchmarks.stamps import paced, until


class Ask(BaseModel):
    """The body of a chat request."""

    prompt: str


def fanout(observers: int, rate: float, seconds: float) -> FastAPI:
    """One publisher, a queue for each subscriber."""
    queues: set[asyncio.Queue[str]] = set()

    async def publish() -> None:
        await until(lambda: len(queues) >= observers)
        async for token in paced(rate, seconds):
            for queue in queues:
                queue.put_nowait(token)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(publish())
        yield
        task.cancel()

    app = FastAPI(lifespan=lifespan)

    @app.get("/events")
    async def events(request: Request) -> EventSourceResponse:
        async def stream() -> AsyncGenerator[dict[str, str]]:
            queue: asyncio.Queue[str] = asyncio.Queue()
            queues.add(queue)
            try:
                while True:
                    token = await queue.get()
                    if await request.is_disconnected():
                        break
                    yield {"event": "text", "data": json.dumps({"text": token})}
            finally:
                queues.discard(queue)

        return EventSourceResponse(stream())

    return app


def many(rate: float, seconds: float) -> FastAPI:
    """A generator for each caller."""
    app = FastAPI()

    @app.post("/chat")
    async def chat(ask: Ask, request: Request) -> EventSourceResponse:  # noqa: ARG001 - the same whatever is asked
        async def stream() -> AsyncGenerator[dict[str, str]]:
            async for token in paced(rate, seconds):
                if await request.is_disconnected():
                    break
                yield {"event": "text", "data": json.dumps({"text": token})}

        return EventSourceResponse(stream())

    return app


def gateway(upstream: str) -> FastAPI:
    """One request to the model for each caller, its chunks passed on."""
    client = AsyncOpenAI(base_url=upstream, api_key="unused")
    app = FastAPI()

    @app.post("/chat")
    async def chat(ask: Ask, request: Request) -> EventSourceResponse:
        async def stream() -> AsyncGenerator[dict[str, str]]:
            chunks = await client.chat.completions.create(
                model="benchmark", messages=[{"role": "user", "content": ask.prompt}], stream=True
            )
            async for chunk in chunks:
                if await request.is_disconnected():
                    break
                if chunk.choices and chunk.choices[0].delta.content:
                    yield {"event": "text", "data": json.dumps({"text": chunk.choices[0].delta.content})}

        return EventSourceResponse(stream())

    return app


def main() -> None:
    """Serve until killed."""
    pattern, port, *rest = sys.argv[1:]
    if pattern == "gateway":
        app = gateway(rest[0])
    elif pattern == "many":
        app = many(float(rest[0]), float(rest[1]))
    else:
        app = fanout(int(rest[0]), float(rest[1]), float(rest[2]))
    uvicorn.run(app, port=int(port), loop="uvloop", http="httptools", access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
