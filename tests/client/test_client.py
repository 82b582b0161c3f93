"""The client's calls: what is retried, what is not, and the whole way against a real server."""

from typing import Any

import msgspec
import pytest

from realtime.events import Finished, Text
from realtime.request import StartRequest
from transports.client import (
    Client,
    JsonView,
    Observed,
    ProtocolError,
    RefusedError,
    UnreachableError,
)
from transports.client.wires import Codec, Wire

from .scripted import GENERATION, Script, log_of, position
from .test_observation import IDS, every_wire, problem, serving

FAST = {"model": "demo/default", "prompt": "Tell me.", "options": {"rate": 5000, "tokens": 40}}
SLOW = {"model": "demo/default", "prompt": "Tell me.", "options": {"rate": 20, "tokens": 10_000}}

RESOURCE = {"id": GENERATION, "state": "queued", "model": "demo/default", "created_ms": 1, "cursor": "e1-0"}


def answer(value: Any, status: int = 201, **headers: str) -> Script:
    """An answer in JSON."""
    return Script(status=status, body=msgspec.json.encode(value), headers=headers)


async def test_start_is_retried_under_one_key() -> None:
    """However often a start has to be sent, it carries the same key and the same body."""
    busy = problem(503, "overloaded", retryable=True, **{"Retry-After": "2"})
    replay = answer(RESOURCE, 200, **{"Idempotent-Replayed": "true"})
    async with serving(Script(cut=0), busy, replay) as (server, client, sleeper):
        started = await client.start({**FAST, "stream": True})
        assert started == (GENERATION, "queued", True)
        assert sleeper.waits == [0.5, 3.0]
        assert len({(asked.headers["idempotency-key"], asked.body) for asked in server.asked}) == 1
        assert msgspec.json.decode(server.asked[0].body) == FAST
        assert server.asked[0].headers["accept"] == "application/json"


async def test_every_start_has_its_own_key() -> None:
    """Two starts are two generations, unless the caller names a key."""
    async with serving(*[answer(RESOURCE) for _ in range(3)]) as (server, client, _):
        for key in (None, None, "mine"):
            assert not (await client.start(StartRequest("demo/default", prompt="x"), idempotency_key=key)).replayed
        first, second, third = (asked.headers["idempotency-key"] for asked in server.asked)
        assert first != second
        assert third == "mine"
        assert msgspec.json.decode(server.asked[2].body, type=StartRequest).prompt == "x"


async def test_start_gives_up() -> None:
    """A server that answers none of the tries is unreachable."""
    async with serving(*[Script(cut=0)] * 3, tries=3) as (server, client, sleeper):
        with pytest.raises(UnreachableError):
            await client.start(FAST)
        assert len(server.asked) == 3
        assert len(sleeper.waits) == 2


async def test_busy_conversation_is_not_retried() -> None:
    """What may succeed only after somebody else's generation is the caller's to decide."""
    async with serving(problem(409, "conversation_busy", retryable=True)) as (_, client, sleeper):
        with pytest.raises(RefusedError, match="conversation_busy"):
            await client.start(FAST)
        assert sleeper.waits == []


async def test_answer_of_somebody_else() -> None:
    """An answer that is not of this protocol is said to be that, and a strange status is named."""
    scripts = [Script(status=201, body=b"<html>"), Script(status=299, body=b"[]"), Script(status=418, body=b"tea")]
    async with serving(*scripts, Script(status=799)) as (_, client, _):
        for _ in range(2):
            with pytest.raises(ProtocolError):
                await client.start(FAST)
        with pytest.raises(RefusedError, match=r"http_418: The server answered 418 I'm a Teapot\.") as caught:
            await client.start(FAST)
        assert caught.value.status == 418
        with pytest.raises(RefusedError, match="answered 799"):
            await client.start(FAST)


@every_wire
async def test_api_key(wire: Wire, codec: Codec) -> None:
    """The key goes with every request and every connection."""
    async with serving(answer(RESOURCE), api_key="secret", wire=wire, codec=codec) as (server, client, _):
        await client.generate(FAST)
        assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer secret"] * 2


@every_wire
async def test_mounted(wire: Wire, codec: Codec) -> None:
    """A server below a path is reached there, on every wire."""
    async with (
        serving() as (server, _, _),
        Client(server.url + "/api/", wire=wire, codec=codec) as client,
        client.observe(GENERATION) as observation,
    ):
        assert [item.cursor async for item in observation] == IDS
        assert server.asked[0].path.startswith("/api/v1/")


async def test_generate_forgets_on_reset() -> None:
    """After a reset the message is that of the new branch alone."""
    lost = Script(frames=lambda after: [position("e1-0", "e1-3"), *log_of("lost")[:3]])
    strange = {"id": "e2-9", "type": "hologram", "at": 1}
    kept = Script(
        frames=lambda after: [position("e2-0", "e2-4", reset="branch"), *log_of("kept", epoch="e2")[:3], strange]
    )
    end = {"id": "e2-10", "type": "finished", "at": 1, "outcome": "completed"}
    async with serving(answer(RESOURCE), lost, kept, Script(frames=lambda after: [end])) as (_, client, _):
        assert (await client.generate(FAST)).message.text == "kept"


async def test_generate_with_an_ending_of_the_future() -> None:
    """An end that cannot be understood is not made into one that can."""
    end = {"id": "e1-1", "type": "finished", "at": 1, "outcome": "vanished"}
    async with serving(answer(RESOURCE), Script(frames=lambda after: [end])) as (_, client, _):
        with pytest.raises(ProtocolError):
            await client.generate(FAST)


@every_wire
async def test_generate(real_url: str, wire: Wire, codec: Codec) -> None:
    """The whole message is what the server shows, and what its events say."""
    seen: list[Observed] = []
    async with Client(real_url, wire=wire, codec=codec) as client:
        result = await client.generate(FAST, on_event=seen.append)
        resource = await client.get(result.generation)
    assert result.message == resource.message
    assert result.message.text == "".join(item.event.text for item in seen if isinstance(item.event, Text))
    assert result.finished == seen[-1].event
    assert (resource.outcome, resource.usage) == ("completed", result.finished.usage)
    assert [item.cursor.partition("-")[2] for item in seen] == [str(n) for n in range(1, len(seen) + 1)]


async def test_wires_agree(real_url: str) -> None:
    """Live, later and merged, on every wire, an observer is told the same."""
    async with Client(real_url) as client:
        started = await client.start(FAST)

        async def told(wire: Wire, **options: Any) -> list[Observed]:
            async with client.observe(started.generation, wire=wire, **options) as observation:
                return [item async for item in observation]

        live = await told("ws")
        assert [await told("sse"), await told("ndjson"), await told("ws")] == [live] * 3
        whole = "".join(item.event.text for item in live if isinstance(item.event, Text))
        for wire in ("ws", "sse", "ndjson"):
            merged = await told(wire, replay="merged")
            assert [item.event.text for item in merged if isinstance(item.event, Text)] == [whole]
            assert await told(wire, after=live[10].cursor) == live[11:]
            assert await told(wire, after=live[-1].cursor) == []


@every_wire
async def test_stop(real_url: str, wire: Wire, codec: Codec) -> None:
    """A stop ends it for who observes, and a second one finds it ended."""
    async with Client(real_url, codec=codec) as client:
        started = await client.start(SLOW)
        async with client.observe(started.generation, wire=wire) as observation:
            async for item in observation:
                if isinstance(item.event, Text) and observation.state == "streaming":
                    assert (await client.stop(started.generation)).id == started.generation
        finished = observation.finished
        assert isinstance(finished, Finished)
        assert (finished.outcome, finished.stopped_by) == ("stopped", "owner")
        again = await client.stop(started.generation)
        assert (again.state, again.outcome) == ("finished", "stopped")


async def test_idempotency(real_url: str) -> None:
    """The same key answers with the first generation, and refuses another body."""
    async with Client(real_url) as client:
        first = await client.start(FAST, idempotency_key="once")
        again = await client.start(FAST, idempotency_key="once")
        assert (again.generation, again.replayed) == (first.generation, True)
        with pytest.raises(RefusedError, match="idempotency_mismatch"):
            await client.start(SLOW, idempotency_key="once")


async def test_resources(real_url: str) -> None:
    """Lists, conversations, models and erasing are what the server says."""
    async with Client(real_url) as client:
        ids = [(await client.generate({**FAST, "conversation": "c:1"})).generation for _ in range(2)]
        page = await client.list(limit=1, conversation="c:1")
        assert [resource.id for resource in page.generations] == ids[1:]
        rest = await client.list(before=page.next, conversation="c:1")
        assert [resource.id for resource in rest.generations] == ids[:1]
        conversation = await client.conversation("c:1")
        assert (conversation.active, conversation.latest) == (None, ids[1])
        assert "demo/default" in [model.id for model in await client.models()]
        await client.erase(ids[0])
        with pytest.raises(RefusedError, match="not_found"):
            await client.get(ids[0])


@every_wire
async def test_unknown_generation(real_url: str, wire: Wire, codec: Codec) -> None:
    """A generation that is not there is final on every wire, in the same words."""
    async with Client(real_url, codec=codec) as client, client.observe("0" * 32, wire=wire) as observation:
        with pytest.raises(RefusedError) as caught:
            await anext(observation)
        assert caught.value.code == "not_found"


@every_wire
async def test_json_view(real_url: str, wire: Wire, codec: Codec) -> None:
    """The last view is final and comes after the terminal event."""
    async with Client(real_url, codec=codec) as client:
        started = await client.start({"model": "demo/json", "prompt": "A table.", "options": {"rate": 5000}})
        async with client.observe(started.generation, wire=wire, view="json") as observation:
            items = [item.event async for item in observation]
    assert isinstance(items[-1], JsonView)
    assert items[-1].final
    text = "".join(event.text for event in items if isinstance(event, Text))
    assert items[-1].value == msgspec.json.decode(text)


async def test_refused_request(real_url: str) -> None:
    """What the server finds wrong is raised with the field it names."""
    async with Client(real_url) as client:
        with pytest.raises(RefusedError) as caught:
            await client.start({**FAST, "temperature": 9})
        assert caught.value.status == 400
        assert caught.value.error.field == "temperature"


async def test_an_erase_that_is_repeated() -> None:
    """A repeat that finds nothing has what it wanted; a first try that finds nothing is refused."""
    gone = Script(status=404, body=b'{"code":"not_found","message":"No.","retryable":false}')
    async with serving(Script(cut=0), gone) as (server, client, _):
        await client.erase(GENERATION)
        assert [asked.method for asked in server.asked] == ["DELETE"] * 2
    async with serving(gone) as (_, client, _):
        with pytest.raises(RefusedError, match="not_found"):
            await client.erase(GENERATION)
