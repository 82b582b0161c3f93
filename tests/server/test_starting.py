"""Starting and looking: resources, links, lists, repeats, waiting, and what a disconnect does."""

import asyncio
from typing import Any

import pytest

from tests.support.http import BrokenError, HttpExchange, Response, request, start, stop
from tests.support.server import Address, RunningServer, serving

BODY: dict[str, Any] = {"model": "demo/default", "prompt": "Say something.", "options": {"rate": 10_000, "tokens": 5}}
ENDLESS: dict[str, Any] = {"model": "demo/default", "prompt": "On and on.", "options": {"rate": 20, "tokens": 5000}}


async def post(address: Address, body: dict[str, Any], **headers: str) -> Response:
    """Start a generation, with headers."""
    return await request(
        address, "POST", "/v1/generations", body, {name.replace("_", "-"): value for name, value in headers.items()}
    )


async def test_a_resource_has_links_that_lead_somewhere() -> None:
    """201 with Location; its links are paths of this server."""
    async with serving() as server:
        answer = await post(server.address, {**BODY, "metadata": {"tag": 1}, "conversation": "c"})
        resource = answer.json()
        assert (answer.status, answer.headers["location"]) == (201, resource["links"]["self"])
        assert (resource["metadata"], resource["conversation"]) == ({"tag": 1}, "c")
        await server.finished(resource["id"])
        whole = (await request(server.address, "GET", resource["links"]["self"])).json()
        assert (whole["state"], whole["outcome"], whole["reason"]) == ("finished", "completed", "stop")
        assert whole["message"]["text"] == whole["message"]["content"][0]["text"] != ""
        assert whole["usage"]["output_tokens"] == 5
        assert (await request(server.address, "GET", resource["links"]["events"])).status == 200
        assert (await request(server.address, "POST", resource["links"]["stop"])).json()["outcome"] == "completed"


async def test_a_message_so_far_can_be_had() -> None:
    """GET of a live generation shows what was said, and no outcome."""
    async with serving() as server:
        generation = await start(server.address, **ENDLESS)
        await server.reached(generation, 5)
        resource = (await request(server.address, "GET", f"/v1/generations/{generation}")).json()
        assert resource["state"] == "streaming"
        assert resource["message"]["text"]
        assert "outcome" not in resource


async def test_a_repeat_gives_the_first_generation() -> None:
    """200, Idempotent-Replayed, the same id; another body is a mismatch; as a stream too."""
    async with serving() as server:
        first = await post(server.address, BODY, idempotency_key="k-1")
        again = await post(server.address, BODY, idempotency_key="k-1")
        assert (again.status, again.headers["idempotent-replayed"]) == (200, "true")
        assert again.json()["id"] == first.json()["id"]
        streamed = await post(server.address, {**BODY, "stream": True}, idempotency_key="k-1")
        assert streamed.headers["location"] == first.headers["location"]
        assert first.json()["id"].encode() in streamed.body
        other = await post(server.address, {**BODY, "prompt": "Else."}, idempotency_key="k-1")
        assert (other.status, other.json()["code"]) == (422, "idempotency_mismatch")


async def test_many_repeats_at_once_are_one() -> None:
    """A client that retries in a hurry starts one generation."""
    async with serving() as server:
        answers = await asyncio.gather(*(post(server.address, BODY, idempotency_key="k") for _ in range(20)))
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert sorted(answer.status for answer in answers) == [200] * 19 + [201]


async def test_a_caller_can_wait_for_the_whole_answer() -> None:
    """Prefer: wait on the start and on a GET; a wait that is over answers with what is there."""
    async with serving() as server:
        answer = await post(server.address, BODY, prefer="wait=20")
        assert answer.headers["preference-applied"] == "wait=20"
        assert answer.json()["outcome"] == "completed"
        generation = await start(server.address, **ENDLESS)
        target = f"/v1/generations/{generation}"
        early = await request(server.address, "GET", target, headers={"Prefer": "respond-async, wait=0"})
        assert early.json()["state"] != "finished"
        waiting = asyncio.ensure_future(request(server.address, "GET", target, headers={"Prefer": "wait=25"}))
        await server.reached(generation, 4)
        await stop(server.address, generation)
        assert (await waiting).json()["outcome"] == "stopped"


async def test_a_caller_that_hangs_up_while_it_waits_has_left() -> None:
    """Who waits is an observer, and one who is gone stops the bill like any other."""
    async with serving() as server:
        generation = await start(server.address, **{**ENDLESS, "grace": 0.01})
        exchange = HttpExchange(server.address)
        asking = asyncio.ensure_future(exchange.ask("GET", f"/v1/generations/{generation}", {"Prefer": "wait=60"}))
        log = await server.log(generation)
        while not log.observers:
            await log.wait(log.head)
        await exchange.close()
        with pytest.raises(BrokenError):
            await asking
        finished = (await server.finished(generation)).finished
        assert finished is not None
        assert finished.stopped_by == "disconnect"


async def test_a_caller_that_polls_is_not_missed() -> None:
    """A wait whose time is over is no departure: a batch caller that asks again finds its generation going on."""
    async with serving() as server:
        answer = await post(server.address, {**ENDLESS, "grace": 0.01}, prefer="wait=0")
        log = await server.log(answer.json()["id"])
        await server.reached(log.meta.generation, log.head + 10)
        assert log.finished is None


async def test_lists_are_paged_newest_first() -> None:
    """Following next gives each once; a conversation's list is its own."""
    async with serving() as server:
        made = [
            await start(server.address, **{**BODY, "conversation": f"c{n % 2}", "if_busy": "allow"}) for n in range(5)
        ]
        for query, expected in (("", made[::-1]), ("conversation=c0&", made[::-1][::2])):
            seen: list[str] = []
            before = ""
            while True:
                page = (await request(server.address, "GET", f"/v1/generations?{query}limit=2{before}")).json()
                seen += [item["id"] for item in page["generations"]]
                if page["next"] is None:
                    break
                before = f"&before={page['next']}"
            assert seen == expected
            lost = await request(server.address, "GET", f"/v1/generations?{query}before={'f' * 32}")
            assert (lost.status, lost.json()["field"]) == (400, "before")


async def test_an_ended_generation_can_be_erased() -> None:
    """204, then 404; a live one answers not_finished."""
    async with serving() as server:
        generation = await start(server.address, **ENDLESS)
        refused = await request(server.address, "DELETE", f"/v1/generations/{generation}")
        assert (refused.status, refused.json()["code"]) == (409, "not_finished")
        await stop(server.address, generation)
        await server.finished(generation)
        assert (await request(server.address, "DELETE", f"/v1/generations/{generation}")).status == 204
        assert (await request(server.address, "GET", f"/v1/generations/{generation}")).status == 404


async def observed_and_left(server: RunningServer, body: dict[str, Any]) -> str:
    """A generation whose one observer came and went."""
    exchange = HttpExchange(server.address)
    generation = await start(server.address, **body)
    await exchange.ask("GET", f"/v1/generations/{generation}/events")
    log = await server.reached(generation, 3)
    assert log.observers == 1
    await exchange.close()
    return generation


async def test_a_closed_tab_stops_the_bill_after_the_grace() -> None:
    """stopped_by disconnect; the provider was closed."""
    async with serving() as server:
        generation = await observed_and_left(server, {**ENDLESS, "grace": 0.01})
        finished = (await server.finished(generation)).finished
        assert finished is not None
        assert (finished.outcome, finished.stopped_by) == ("stopped", "disconnect")


@pytest.mark.parametrize("extra", [{"grace": 60}, {"on_disconnect": "continue", "grace": 0}])
async def test_a_reload_finds_it_going_on(extra: dict[str, Any]) -> None:
    """Within the grace, or when told to continue, it runs on without an observer."""
    async with serving() as server:
        generation = await observed_and_left(server, {**ENDLESS, **extra})
        log = await server.log(generation)
        while log.observers:
            await log.wait(log.head)
        await server.reached(generation, log.head + 5)
        assert log.finished is None


async def test_models_are_listed_as_they_are_asked_for() -> None:
    """<provider>/<model>, with the provider beside it."""
    async with serving() as server:
        models = (await request(server.address, "GET", "/v1/models")).json()["models"]
        assert {"id": "demo/default", "provider": "demo"} in models
