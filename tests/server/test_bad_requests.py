"""Requests that are wrong in their path, query, headers or size, and requests that come at a wrong time."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.http import request, start, stop
from tests.support.server import RunningServer, serving

from .refusals import Answer, ask, assert_problem, connected, read_answer, request_bytes

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("quiet")]

SHORT: dict[str, Any] = {"model": "demo/default", "options": {"tokens": 3, "rate": 100_000}}
ENDLESS: dict[str, Any] = {"model": "demo/default", "options": {"tokens": 200_000, "rate": 10}}
UNKNOWN = "0123456789abcdef" * 2


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ended(server: RunningServer) -> str:
    """A generation that has ended."""
    generation = await start(server.address, **SHORT)
    await server.finished(generation)
    return generation


@pytest_asyncio.fixture(loop_scope="module")
async def live(server: RunningServer) -> AsyncIterator[str]:
    """A generation that goes on until the test is over."""
    generation = await start(server.address, **ENDLESS, conversation="busy")
    yield generation
    await stop(server.address, generation)
    await server.finished(generation)


async def get(server: RunningServer, target: str, **headers: str) -> Answer:
    """GET something."""
    return await ask(server.address, request_bytes(server.address, "GET", target, headers))


async def post(server: RunningServer, target: str, body: Any = None, **headers: str) -> Answer:
    """POST something."""
    data = None if body is None else json.dumps(body).encode()
    return await ask(server.address, request_bytes(server.address, "POST", target, headers, data))


# Query of an observation, the parameter that is named.
OPTIONS = [
    *[(f"wire={value}", "wire") for value in ("", "xml", "SSE", "ws", "sse,ndjson")],
    *[(f"pace={value}", "pace") for value in ("", "0", "abc", "-1", "1.5", "10001", "5,0", "5,6,7", "%D9%A1", "1e3")],
    *[(f"flush_ms={value}", "flush_ms") for value in ("", "-1", "1.5", "abc", "10001", "9" * 40, "%D9%A1")],
    *[(f"replay={value}", "replay") for value in ("", "all", "MERGED")],
    *[(f"view={value}", "view") for value in ("", "xml", "1")],
    ("colour=red", "colour"),
    ("x" * 300 + "=1", "x" * 64),
    ("pace=5&pace=5", "pace"),
    ("after=a-1&after=a-2", "after"),
    ("%22%3E%3Cscript%3E=1", '"><script>'),
]


@pytest.mark.parametrize(("query", "field"), OPTIONS)
async def test_wrong_option(server: RunningServer, ended: str, query: str, field: str) -> None:
    """An option of an observation that is wrong, unknown or repeated is named, wherever it is given."""
    assert_problem(await get(server, f"/v1/generations/{ended}/events?{query}"), "bad_request", field)
    assert_problem(await get(server, f"/v1/conversations/c/events?{query}"), "bad_request", field)
    assert_problem(await post(server, f"/v1/generations?{query}", {**SHORT, "prompt": "x"}), "bad_request", field)


@pytest.mark.parametrize(
    "query", ["wait=61", "wait=-1", "wait=1.5", "wait=abc", "wait=", "wait=%D9%A1", "wait=1&wait=1"]
)
async def test_wrong_wait(server: RunningServer, query: str) -> None:
    """A wait is whole seconds, and only as long as a proxy would wait too."""
    assert_problem(await get(server, f"/v1/conversations/c/events?{query}"), "bad_request", "wait")


@pytest.mark.parametrize("query", ["follow=2", "follow=true", "follow=", "follow=1&follow=1"])
async def test_wrong_follow(server: RunningServer, query: str) -> None:
    """To follow is 0 or 1."""
    assert_problem(await get(server, f"/v1/conversations/c/events?{query}"), "bad_request", "follow")


@pytest.mark.parametrize("name", ["wait", "follow"])
async def test_options_of_a_conversation_only(server: RunningServer, ended: str, name: str) -> None:
    """What only a conversation can do is unknown to a generation."""
    assert_problem(await get(server, f"/v1/generations/{ended}/events?{name}=1"), "bad_request", name)


@pytest.mark.parametrize("query", ["%ff=1", "after=%ff", "&".join(f"a{n}=1" for n in range(40))])
async def test_malformed_query(server: RunningServer, ended: str, query: str) -> None:
    """A query that is no text, or has no end, is refused as a whole."""
    answer = await get(server, f"/v1/generations/{ended}/events?{query}")
    assert_problem(answer, "bad_request", names="query string")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=many", "limit"),
        ("before=x", "before"),
        (f"before={UNKNOWN}%0A", "before"),
        ("conversation=a%20b", "conversation"),
        ("colour=red", "colour"),
    ],
)
async def test_wrong_listing(server: RunningServer, query: str, field: str) -> None:
    """A listing names the parameter that is wrong, in the same form as every other route."""
    assert_problem(await get(server, f"/v1/generations?{query}"), "bad_request", field)


CURSORS = ["x", "a-", "-1", "a-01", "A-1", "a--1", "a-1 ", "a-1-1", "a" * 13 + "-1", "a-" + "1" * 16, "a" * 3000]


@pytest.mark.parametrize("cursor", CURSORS)
async def test_bad_cursor(server: RunningServer, ended: str, cursor: str) -> None:
    """What this server never gave out is no cursor, by query and, unless HTTP trims it to one, by header."""
    target = f"/v1/generations/{ended}/events"
    assert_problem(await get(server, f"{target}?after={cursor.replace(' ', '%20')}"), "bad_cursor", "after")
    if cursor == cursor.strip():
        assert_problem(await get(server, target, **{"Last-Event-ID": cursor}), "bad_cursor", "Last-Event-ID")
        answer = await get(server, f"{target}?after=a-1", **{"Last-Event-ID": cursor})
        assert_problem(answer, "bad_cursor", "Last-Event-ID")


IDS = [UNKNOWN, "x", UNKNOWN.upper(), f"{UNKNOWN}0", "%00", "%0d%0a", "..%2f..", "%F0%9F%98%80", "%ff", "a" * 5000, "*"]


@pytest.mark.parametrize("generation", IDS)
async def test_unknown_generation(server: RunningServer, generation: str) -> None:
    """No id that is not one of ours tells anything about the others: one answer for all of them, on every route."""
    place = f"/v1/generations/{generation}"
    asked = [("GET", place), ("DELETE", place), ("GET", f"{place}/events"), ("POST", f"{place}/stop")]
    answers = [await ask(server.address, request_bytes(server.address, *pair)) for pair in asked]
    if "%2f" in generation:
        assert {answer.status for answer in answers} == {404}
        return
    for answer in answers:
        assert_problem(answer, "not_found", "generation", "no such generation")
    assert len({answer.body for answer in answers}) == 1


@pytest.mark.parametrize("target", ["/v1/generations/", f"/v1/generations/{UNKNOWN}/events/", "/v1/models/", "/livez/"])
async def test_nothing_is_redirected(server: RunningServer, target: str) -> None:
    """A slash too many is no other way to write a route: a redirect would name a scheme it cannot know."""
    answer = await get(server, target)
    assert answer.status == 404
    assert_problem(answer, "not_found")
    assert "location" not in answer.headers


@pytest.mark.parametrize("name", ["a%20b", "%00", "%0A", "c%0A", "a" * 129, "%C3%A9", "%ff", "a,b"])
async def test_wrong_conversation(server: RunningServer, name: str) -> None:
    """A conversation that cannot be named is refused on each of its routes."""
    place = f"/v1/conversations/{name}"
    for method, target in [("GET", place), ("GET", f"{place}/events"), ("POST", f"{place}/stop")]:
        answer = await ask(server.address, request_bytes(server.address, method, target))
        assert_problem(answer, "bad_request", "conversation")


@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [
        ("PUT", "/v1/generations", "GET, POST"),
        ("DELETE", "/v1/generations", "GET, POST"),
        ("POST", f"/v1/generations/{UNKNOWN}", "GET, DELETE"),
        ("PATCH", f"/v1/generations/{UNKNOWN}", "GET, DELETE"),
        ("POST", f"/v1/generations/{UNKNOWN}/events", "GET"),
        ("GET", f"/v1/generations/{UNKNOWN}/stop", "POST"),
        ("DELETE", "/v1/conversations/c", "GET"),
        ("GET", "/v1/conversations/c/stop", "POST"),
        ("POST", "/v1/models", "GET"),
        ("POST", "/readyz", "GET"),
        ("POST", "/", "GET"),
        ("OPTIONS", "/v1/generations", "GET, POST"),
    ],
)
async def test_wrong_method(server: RunningServer, method: str, target: str, allowed: str) -> None:
    """A method that a path does not have is answered with all that it has."""
    answer = await ask(server.address, request_bytes(server.address, method, target))
    assert_problem(answer, "method_not_allowed")
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize(
    "target", ["/nope", "/v1", "/v1/", "/v2/generations", "//v1/models", "/assets/..%2fapp.py", "/V1/models"]
)
async def test_unknown_route(server: RunningServer, target: str) -> None:
    """A path that is not there is a problem like any other."""
    assert_problem(await get(server, target), "not_found")


async def test_no_handshake(server: RunningServer) -> None:
    """Who asks for the WebSocket without a handshake, as through a proxy that takes it out, is told what is there."""
    assert_problem(await get(server, "/v1/ws"), "bad_request", "Upgrade", "WebSocket")


@pytest.mark.parametrize("accept", ["image/png", "text/html", "text/event-stream;q=0", "application/xml, text/css"])
async def test_not_acceptable(server: RunningServer, ended: str, accept: str) -> None:
    """Someone who can read neither JSON nor a wire is not sent any."""
    answer = await get(server, f"/v1/generations/{ended}/events", Accept=accept)
    assert_problem(answer, "not_acceptable", "Accept")
    answer = await post(server, "/v1/generations", {**SHORT, "prompt": "x"}, Accept=accept)
    assert_problem(answer, "not_acceptable", "Accept")


@pytest.mark.parametrize("key", ["", "k" * 256, "a b", "caf\xe9", "k\tk", "\xa0"])
async def test_bad_idempotency_key(server: RunningServer, key: str) -> None:
    """A key is of a form that every proxy passes on."""
    answer = await post(server, "/v1/generations", {**SHORT, "prompt": "x"}, **{"Idempotency-Key": key})
    assert_problem(answer, "bad_request", "Idempotency-Key", "1 to 255")


async def test_idempotency_key_of_another_body(server: RunningServer) -> None:
    """A key that was used for another request starts nothing."""
    key = {"Idempotency-Key": "mine"}
    assert (await post(server, "/v1/generations", {**SHORT, "prompt": "x"}, **key)).status == 201
    answer = await post(server, "/v1/generations", {**SHORT, "prompt": "y"}, **key)
    assert_problem(answer, "idempotency_mismatch", "Idempotency-Key")


async def test_too_large_by_length(server: RunningServer) -> None:
    """A body that announces more than the limit is refused before a byte of it is sent."""
    headers = {"Content-Type": "application/json", "Content-Length": str(2**20 + 1)}
    answer = await ask(server.address, request_bytes(server.address, "POST", "/v1/generations", headers))
    assert assert_problem(answer, "too_large", names="1048576 bytes")["limit"] == 2**20


async def test_too_large_by_chunks(server: RunningServer) -> None:
    """A body without an announced end is counted, and refused at the limit while it is still being sent."""
    headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    chunk = b"10000\r\n%b\r\n" % (b" " * 0x10000)
    async with connected(server.address) as (reader, writer):
        writer.write(request_bytes(server.address, "POST", "/v1/generations", headers))
        reading = asyncio.create_task(read_answer(reader))
        while not reading.done():
            writer.write(chunk)
            await writer.drain()
        assert_problem(await reading, "too_large", names="1048576 bytes")


async def test_exactly_the_limit(server: RunningServer) -> None:
    """A body of exactly the limit is read."""
    body = json.dumps({**SHORT, "prompt": "x"}).encode().ljust(2**20)
    assert (
        await ask(server.address, request_bytes(server.address, "POST", "/v1/generations", body=body))
    ).status == 201


async def test_body_that_is_not_finished(server: RunningServer) -> None:
    """A client that leaves in the middle of its body is nobody's error, and nothing is started."""
    before = await get(server, "/v1/generations?limit=1")
    async with connected(server.address) as (_, writer):
        headers = {"Content-Type": "application/json", "Content-Length": "100"}
        writer.write(request_bytes(server.address, "POST", "/v1/generations", headers) + b"{")
        await writer.drain()
        assert (await get(server, "/livez")).status == 200
    assert (await get(server, "/v1/generations?limit=1")).json() == before.json()


async def test_stop_of_what_ended(server: RunningServer, ended: str) -> None:
    """A stop that comes too late is answered with what it found."""
    answer = await post(server, f"/v1/generations/{ended}/stop")
    assert (answer.status, answer.json()) == (200, {"id": ended, "state": "finished", "outcome": "completed"})


async def test_delete_of_what_is_live(server: RunningServer, live: str) -> None:
    """What has not ended is not erased, and goes on."""
    answer = await ask(server.address, request_bytes(server.address, "DELETE", f"/v1/generations/{live}"))
    assert assert_problem(answer, "not_finished")["generation"] == live
    assert (await server.log(live)).finished is None


async def test_delete_twice(server: RunningServer) -> None:
    """What was erased is as if it had never been."""
    generation = await start(server.address, **SHORT)
    await server.finished(generation)
    assert (await request(server.address, "DELETE", f"/v1/generations/{generation}")).status == 204
    answer = await ask(server.address, request_bytes(server.address, "DELETE", f"/v1/generations/{generation}"))
    assert_problem(answer, "not_found", "generation")


async def test_busy_conversation(server: RunningServer, live: str) -> None:
    """A conversation that is busy says with what."""
    answer = await post(server, "/v1/generations", {**SHORT, "prompt": "x", "conversation": "busy"})
    assert assert_problem(answer, "conversation_busy", "conversation")["generation"] == live


async def test_idle_conversation(server: RunningServer) -> None:
    """A conversation nobody has heard of is idle: nothing to show, nothing to watch, nothing to stop."""
    answer = await get(server, "/v1/conversations/unheard")
    assert answer.json() == {"conversation": "unheard", "active": None, "latest": None}
    assert (await get(server, "/v1/conversations/unheard/events")).status == 204
    assert_problem(await post(server, "/v1/conversations/unheard/stop"), "not_found", "conversation")


async def test_no_provider() -> None:
    """A server without providers says so."""
    async with serving(demo=False) as server:
        answer = await post(server, "/v1/generations", {**SHORT, "prompt": "x"})
        assert_problem(answer, "bad_request", "model", "'demo' is not configured here; configured: none")
        assert (await get(server, "/v1/models")).json() == {"models": []}


async def test_no_room_for_another_generation() -> None:
    """One generation too many is refused with the time to come back."""
    async with serving(max_live=1) as server:
        await start(server.address, **ENDLESS)
        answer = await post(server, "/v1/generations", {**SHORT, "prompt": "x"})
        assert assert_problem(answer, "overloaded")["limit"] == 1
        assert int(answer.headers["retry-after"]) >= 1


async def test_no_room_for_another_stream() -> None:
    """One stream too many is refused with the time to come back; an EventSource is told on a stream of its own."""
    async with serving(max_streams=1) as server:
        generation = await start(server.address, **ENDLESS)
        events = f"/v1/generations/{generation}/events"
        async with connected(server.address) as (reader, writer):
            writer.write(request_bytes(server.address, "GET", events))
            await reader.readuntil(b"event: position")
            answer = await get(server, f"{events}?wire=ndjson")
            assert_problem(answer, "overloaded", names="1 streams")
            assert int(answer.headers["retry-after"]) >= 1
            for target in (events, "/v1/conversations/c/events?follow=1"):
                told = await get(server, target)
                assert (told.status, told.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
                assert told.body.startswith(b"retry: ")
                assert b'event: bye\ndata: {"type":"bye","reason":"overloaded","retry_ms":' in told.body


async def test_start_while_draining() -> None:
    """A server that is going away starts nothing, but whoever watches may."""
    async with serving() as server:
        generation = await start(server.address, **SHORT)
        await server.finished(generation)
        server.sessions.draining = True
        answer = await post(server, "/v1/generations", {**SHORT, "prompt": "x"})
        assert_problem(answer, "draining")
        assert int(answer.headers["retry-after"]) >= 1
        streamed = await post(server, "/v1/generations", {**SHORT, "prompt": "x", "stream": True})
        assert_problem(streamed, "draining")
        assert b"event: finished" in (await request(server.address, "GET", f"/v1/generations/{generation}/events")).body
        assert_problem(await get(server, "/readyz"), "draining")
