"""What a request for a stream may cost and may not: nothing is started or attached for one who is not served."""

import asyncio
import json
from typing import Any

import pytest

from realtime.errors import RealtimeError
from realtime.principal import Principal
from realtime.request import StartRequest
from realtime.server.streams import _start_headers
from tests.support.http import HttpExchange, read_text, request, start
from tests.support.server import RunningServer, serving

ENDLESS: dict[str, Any] = {"model": "demo/default", "prompt": "x", "options": {"rate": 200, "tokens": 50_000}}
WAITING = "/v1/conversations/c/events?wait=60&wire=ndjson"


async def waited_for(server: RunningServer) -> None:
    """Wait until somebody waits for a generation; a server has no event for that."""
    while not server.sessions._bus._created:  # type: ignore[attr-defined]  # noqa: ASYNC110
        await asyncio.sleep(0)


async def test_who_is_refused_has_started_nothing() -> None:
    """Of two streaming starts for one place the second is refused before its generation is admitted."""
    async with serving(max_streams=1) as server:
        held = asyncio.Event()

        async def hold(_: Principal, __: StartRequest) -> None:
            await held.wait()

        server.sessions._before_start = hold
        first = HttpExchange(server.address)
        body = json.dumps({**ENDLESS, "stream": True}).encode()
        asked = asyncio.create_task(first.ask("POST", "/v1/generations", body=body))
        while not server.application.service.open_streams:  # noqa: ASYNC110
            await asyncio.sleep(0)
        refused = await request(server.address, "POST", "/v1/generations", {**ENDLESS, "stream": True})
        assert (refused.status, refused.json()["code"]) == (503, "overloaded")
        held.set()
        await asked
        assert first.status == 200
        listed = (await request(server.address, "GET", "/v1/generations")).json()["generations"]
        assert [f"/v1/generations/{each['id']}" for each in listed] == [first.headers["location"]]
        await first.close()


async def test_a_wait_that_hung_up_observes_nothing() -> None:
    """Who left while it waited for a start frees its place, and is not there when one comes."""
    async with serving() as server:
        exchange = HttpExchange(server.address)
        asked = asyncio.create_task(exchange.ask("GET", WAITING))
        await waited_for(server)
        await exchange.close()
        await asyncio.wait({asked})
        while server.application.service.open_streams:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert asked.exception() is not None
        log = await server.log(await start(server.address, **ENDLESS, conversation="c"))
        await server.reached(log.meta.generation, 5)
        assert log.observers == 0


async def test_a_wait_takes_a_place() -> None:
    """Waiting costs what a stream costs, so it is refused like one."""
    async with serving(max_streams=1) as server:
        exchange = HttpExchange(server.address)
        asked = asyncio.create_task(exchange.ask("GET", WAITING))
        await waited_for(server)
        assert (await request(server.address, "GET", WAITING)).json()["code"] == "overloaded"
        await exchange.close()
        await asyncio.wait({asked})
        assert asked.exception() is not None


@pytest.mark.parametrize("place", ["generations/{}", "conversations/c"])
async def test_head_observes_nothing(place: str) -> None:
    """It is answered with what a stream begins with, and nobody is attached."""
    async with serving() as server:
        generation = await start(server.address, **ENDLESS, conversation="c")
        exchange = HttpExchange(server.address)
        await exchange.ask("HEAD", f"/v1/{place.format(generation)}/events")
        assert (exchange.status, exchange.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert (await server.log(generation)).observers == 0
        assert server.application.service.open_streams == 0
        await exchange.close()


async def test_a_failure_in_mid_stream_breaks_the_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """The status has gone out, so there is no second one, and the body does not look whole."""
    async with serving() as server:
        generation = await start(server.address, **ENDLESS)

        def fail(*_: object) -> None:
            raise RealtimeError("bus_unavailable")

        monkeypatch.setattr(server.application.service, "observe", fail)
        answer = await request(server.address, "GET", f"/v1/generations/{generation}/events")
        assert (answer.status, answer.complete) == (200, False)


async def test_a_text_says_no_reset() -> None:
    """A cursor that does not fit is refused, and an answer whose beginning is gone does not look whole."""
    async with serving(window_events=10) as server:
        windowed = {**ENDLESS, "retain": "window", "options": {"rate": 100_000, "tokens": 2000}}
        generation = await start(server.address, **windowed)
        assert (await server.finished(generation)).trimmed
        refused = await read_text(server.address, generation, after="zzz-5")
        assert (refused.status, refused.json()["code"], refused.json()["field"]) == (400, "bad_cursor", "after")
        rest = await read_text(server.address, generation)
        assert (rest.status, rest.complete) == (200, False)
        assert rest.body


async def test_location_is_encoded() -> None:
    """The path a route is mounted at came decoded, and goes into no header like that."""
    async with serving() as server:
        started = await server.sessions.start(Principal(), StartRequest("demo/default", prompt="x"))
        place = f"/v1/generations/{started.log.meta.generation}"
        headers = dict(_start_headers({"path": "/t/a\r\nX-Evil: é(1)/v1/generations"}, started))
        assert headers[b"location"] == f"/t/a%0D%0AX-Evil:%20%C3%A9(1){place}".encode()
