"""`examples/own_app.py`: the routers in an app of one's own, over real sockets."""

import asyncio
import json
import runpy
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from realtime import Message, Summary
from realtime.server.connections import configure
from realtime.server.draining import DrainingServer
from tests.support.http import PATIENCE_S

EXAMPLES = Path(__file__).parents[1] / "examples"
ENDLESS = {"model": "agent/default", "prompt": "Oslo", "options": {"days": 10**9}}
ROWS = 100_000
# What a hundred thousand rows would take several times over if they were kept.
FLAT_BYTES = 24 * 2**20

Saved = asyncio.Queue[tuple[Summary, Message]]


@asynccontextmanager
async def own_app() -> AsyncIterator[tuple[str, Saved]]:
    """The app on a free port, and what its hook was given at the end of each generation."""
    example, saved = runpy.run_path(str(EXAMPLES / "own_app.py")), Saved()

    async def save(summary: Summary, message: Message) -> None:
        saved.put_nowait((summary, message))

    service = example["create_service"](save)
    server = DrainingServer(configure(example["create_app"](service), log_config=None), service, drain_timeout_s=0)
    sock = socket.create_server(("127.0.0.1", 0))
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup([sock])
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}", saved
    finally:
        await server.shutdown([sock])
        # The lifespan's task has one more step to make before the loop may close.
        await asyncio.sleep(0)


def caller(url: str, key: str = "alice-key") -> httpx2.AsyncClient:
    """Someone with a key."""
    return httpx2.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=PATIENCE_S)


async def events(response: httpx2.Response) -> AsyncIterator[dict[str, Any]]:
    """What an NDJSON stream says."""
    async for line in response.aiter_lines():
        yield json.loads(line)


async def start(http: httpx2.AsyncClient, **request: Any) -> dict[str, Any]:
    """Start a generation; its resource."""
    response = await http.post("/ai/v1/generations", json=request)
    assert response.status_code == 201, response.text
    resource: dict[str, Any] = response.json()
    return resource


async def test_agent_streams() -> None:
    """An agent's text, tool and data come in order, below the prefix, and the hook is awaited once with all of it."""
    async with own_app() as (url, saved), caller(url) as http:
        accept = {"Accept": "application/x-ndjson"}
        body = {"model": "agent/default", "prompt": "Oslo", "options": {"days": 2}}
        async with http.stream("POST", "/ai/v1/generations", json=body, headers=accept) as response:
            assert response.headers["location"].startswith("/ai/v1/generations/")
            seen = [event async for event in events(response)]
        kinds = [event["type"] for event in seen]
        middle = ["text", "tool_call", "tool_result", "data", "text", "text"]
        assert kinds == ["position", "started", "attempt", *middle, "finished"]
        assert seen[-1]["outcome"] == "completed"
        summary, message = await asyncio.wait_for(saved.get(), PATIENCE_S)
        assert (summary.subject, summary.generation) == ("alice", seen[1]["generation"])
        assert message.text == "Let me look. Day 1: clear. Day 2: clear. "
    assert saved.empty()


async def test_stop() -> None:
    """A stop ends the agent; the hook hears of the stopped generation with the text until then."""
    async with own_app() as (url, saved), caller(url) as http:
        links = (await start(http, **ENDLESS))["links"]
        async with http.stream("GET", f"{links['events']}?wire=ndjson") as response:
            stream = events(response)
            async for event in stream:
                if event["type"] == "tool_result":
                    break
            assert (await http.post(links["stop"])).json()["state"] in ("stopping", "finished")
            last = [event async for event in stream][-1]
        assert (last["type"], last["outcome"], last["stopped_by"]) == ("finished", "stopped", "owner")
        summary, message = await asyncio.wait_for(saved.get(), PATIENCE_S)
        assert summary.outcome == "stopped"
        assert message.text.startswith("Let me look. ")
    assert saved.empty()


async def test_users_are_apart() -> None:
    """Another user's generation does not exist: not in the list, not to look at, not to observe, not to stop."""
    async with own_app() as (url, _), caller(url) as alice, caller(url, "bob-key") as bob, caller(url, "?") as nobody:
        resource = await start(alice, **ENDLESS)
        links = resource["links"]
        answers = [await bob.get(links["self"]), await bob.get(links["events"]), await bob.post(links["stop"])]
        assert [answer.json()["code"] for answer in answers] == ["not_found"] * 3
        listed = [(await http.get("/ai/v1/generations")).json()["generations"] for http in (alice, bob)]
        assert [[one["id"] for one in generations] for generations in listed] == [[resource["id"]], []]
        assert (await nobody.get(links["self"])).json()["code"] == "unauthorized"
        assert (await alice.get(links["self"])).json()["state"] != "finished"


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"model": "sql/squares", "prompt": "5"}, "forbidden"),
        ({"model": "agent/default"}, "bad_request"),
        ({"model": "agent/default", "prompt": "Oslo", "options": {"weeks": 1}}, "bad_request"),
    ],
)
async def test_refusals(request_: dict[str, Any], code: str) -> None:
    """What the hook, the request's form or the provider's options forbid is a problem document, and starts nothing."""
    async with own_app() as (url, _), caller(url, "bob-key") as bob:
        response = await bob.post("/ai/v1/generations", json=request_)
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["code"] == code
        assert (await bob.get("/ai/v1/generations")).json()["generations"] == []


async def test_own_errors_stay() -> None:
    """The router's refusals are problems and those of the app's other paths are FastAPI's, as its author expects."""
    async with own_app() as (url, _), caller(url) as http:
        ours = await http.get("/ai/v1/generations?limit=0")
        assert (ours.status_code, ours.json()["code"]) == (400, "bad_request")
        assert (await http.get("/nowhere")).json() == {"detail": "Not Found"}
        assert (await http.get("/", headers={"Host": "evil.example"})).json()["code"] == "misdirected"
        paths = (await http.get("/openapi.json")).json()["paths"]
        assert all(path.startswith("/ai/v1/") for path in paths)
        assert (await http.get("/docs")).status_code == 200


async def test_query_in_flat_memory() -> None:
    """A hundred thousand rows all arrive, in order, past the limit of a log, and take no memory on their way."""
    async with own_app() as (url, saved), caller(url) as http:
        body = {"model": "sql/squares", "prompt": str(ROWS)}
        before, most, expected = psutil.Process().memory_info().rss, 0, 1
        accept = {"Accept": "application/x-ndjson"}
        async with http.stream("POST", "/ai/v1/generations", json=body, headers=accept) as response:
            async for event in events(response):
                assert event.get("reset") is None
                if event["type"] == "data":
                    assert event["value"] == {"number": expected, "square": expected**2}
                    expected += 1
                    if expected % 5000 == 0:
                        most = max(most, psutil.Process().memory_info().rss)
        assert expected == ROWS + 1
        assert most - before < FLAT_BYTES
        summary, _ = await asyncio.wait_for(saved.get(), PATIENCE_S)
        assert (summary.outcome, summary.events) == ("completed", ROWS + 3)
