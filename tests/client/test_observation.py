"""Following a generation through a server that drops, refuses and resets, over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from realtime.events import Finished, Text
from transports.client import Backoff, Client, Observed, RefusedError, Reset, UnreachableError
from transports.client.wires import Codec, Wire

from .scripted import GENERATION, Script, ScriptedServer, log_of, position

LOG = log_of("Hel", "lo", " wörld\u2028", "!")
IDS = [event["id"] for event in LOG]
WIRES: list[tuple[Wire, Codec]] = [("ws", "json"), ("ws", "msgpack"), ("sse", "json"), ("ndjson", "json")]

every_wire = pytest.mark.parametrize(("wire", "codec"), WIRES, ids=["ws", "msgpack", "sse", "ndjson"])


class Sleeper:
    """Sleeps for no time, and remembers for how long it should have."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def __call__(self, wait_s: float) -> None:
        self.waits.append(wait_s)
        await asyncio.sleep(0)


@asynccontextmanager
async def serving(
    *scripts: Script, log: list[dict[str, Any]] = LOG, **options: Any
) -> AsyncIterator[tuple[ScriptedServer, Client, Sleeper]]:
    """A scripted server and a client of it that loses no time."""
    sleeper = Sleeper()
    given = {"sleep": sleeper, "jitter": lambda: 0.5, "backoff": Backoff(1.0, 15.0), **options}
    async with ScriptedServer(log, scripts).run() as server, Client(server.url, **given) as client:
        yield server, client, sleeper


async def follow(client: Client, wire: Wire, **options: Any) -> list[Observed]:
    """Everything an observation yields."""
    async with client.observe(GENERATION, wire=wire, **options) as observation:
        return [item async for item in observation]


def problem(status: int, code: str, *, retryable: bool = False, **headers: str) -> Script:
    """A refusal."""
    body = msgspec.json.encode({"code": code, "message": "No.", "retryable": retryable, "status": status})
    return Script(status=status, body=body, headers={"Content-Type": "application/problem+json", **headers})


@every_wire
async def test_whole(wire: Wire, codec: Codec) -> None:
    """A quiet network: one connection, every event once, no wait."""
    async with serving(codec=codec) as (server, client, sleeper):
        async with client.observe(GENERATION, wire=wire) as observation:
            items = [item async for item in observation]
            assert repr(observation) == f"<Observation {GENERATION} e1-7 finished {wire} connections=1>"
        assert [item.cursor for item in items] == IDS
        assert items[4] == Observed("e1-5", 4, Text(" wörld\u2028"))
        assert isinstance(observation.finished, Finished)
        assert (observation.state, observation.resets) == ("finished", 0)
        assert len(server.asked) == 1
        assert sleeper.waits == []


@every_wire
async def test_cut_anywhere(wire: Wire, codec: Codec) -> None:
    """Cut at any byte, again and again, every event comes once and in order."""
    for cut in range(0, 1500, 23):
        scripts = [Script(cut=cut), Script(cut=cut + 200), Script(cut=cut + 400), Script(cut=cut + 600)]
        async with serving(*scripts, codec=codec) as (_, client, _):
            assert [item.cursor for item in await follow(client, wire)] == IDS


@every_wire
async def test_resumes_from_its_cursor(wire: Wire, codec: Codec) -> None:
    """A new connection asks for what comes after the last event that was handed on."""
    part = Script(frames=lambda after: [position("e1-0", "e1-3"), *LOG[:3]], cut=100_000)
    async with serving(part, codec=codec) as (server, client, sleeper):
        assert [item.cursor for item in await follow(client, wire)] == IDS
        assert [asked.after for asked in server.asked] == [None, "e1-3"]
        assert len(sleeper.waits) == 1


@every_wire
async def test_polite_end_is_broken(wire: Wire, codec: Codec) -> None:
    """A connection that ends well before the generation did is resumed like any other."""
    part = Script(frames=lambda after: [position("e1-0", "e1-3"), *LOG[:3]])
    async with serving(part, codec=codec) as (server, client, _):
        assert [item.cursor for item in await follow(client, wire)] == IDS
        assert [asked.after for asked in server.asked] == [None, "e1-3"]


@every_wire
async def test_bye(wire: Wire, codec: Codec) -> None:
    """A goodbye is honoured: at least `retry_ms`, and then from the cursor."""
    bye = {"type": "bye", "reason": "draining", "retry_ms": 2500}
    part = Script(frames=lambda after: [position("e1-0", "e1-2"), *LOG[:2], bye], hang=True)
    async with serving(part, codec=codec) as (server, client, sleeper):
        assert [item.cursor for item in await follow(client, wire)] == IDS
        assert server.asked[1].after == "e1-2"
        assert sleeper.waits == [pytest.approx(2.5 + 0.5 * (0.02 if wire == "sse" else 1.0))]


@every_wire
async def test_reset(wire: Wire, codec: Codec) -> None:
    """A reset, at the beginning of a connection or in its middle, is told before the log begins anew."""
    other = log_of("x", epoch="e2")
    first = Script(frames=lambda after: [position("e1-0", "e1-3"), *LOG[:3]])

    def again(after: str | None) -> list[dict[str, Any]]:
        return [position("e2-0", "e2-4", reset="branch"), *other[:2], position("e2-0", "e2-4", reset="trimmed"), *other]

    async with serving(first, Script(frames=again), codec=codec) as (_, client, _):
        items = await follow(client, wire)
    assert [item.cursor for item in items] == [
        *IDS[:3], "e2-0", "e2-1", "e2-2", "e2-0", "e2-1", "e2-2", "e2-3", "e2-4",
    ]  # fmt: skip
    assert [item.event for item in items if isinstance(item.event, Reset)] == [Reset("branch"), Reset("trimmed")]


@every_wire
async def test_nothing_more(wire: Wire, codec: Codec) -> None:
    """A cursor at the very end yields nothing, and says that it is over."""
    said = Script(frames=lambda after: [{"type": "ok", "state": "finished", "cursor": "e1-7"}], hang=True)
    async with (
        serving(said if wire == "ws" else Script(status=204), codec=codec) as (server, client, _),
        client.observe(GENERATION, wire=wire, after="e1-7") as observation,
    ):
        assert [item async for item in observation] == []
        assert observation.state == "finished"
        assert observation.finished is None
        assert len(server.asked) == 1


async def test_finished_on_websocket_with_more_to_come() -> None:
    """A WebSocket whose reply says finished, with a cursor that is further, goes on with the rest."""
    ok = {"type": "ok", "state": "finished", "cursor": "e1-7"}
    async with serving() as (server, client, _):
        server.scripts = [Script(frames=lambda after: [ok, *server.rest(after)])]
        assert [item.cursor for item in await follow(client, "ws", after="e1-5")] == IDS[5:]
        assert [asked.wire for asked in server.asked] == ["ws"]


async def test_drops_are_told() -> None:
    """Whoever waits is told of each connection that broke, and of none that ended with the generation."""
    told: list[str] = []
    async with serving(Script(cut=0), Script(status=503)) as (_, client, sleeper):
        async with client.observe(GENERATION, wire="ndjson", on_drop=told.append) as observation:
            assert [item.cursor async for item in observation] == IDS
        assert len(told) == len(sleeper.waits) == 2
        assert all(told)


@every_wire
@pytest.mark.parametrize(("status", "code"), [(404, "not_found"), (401, "unauthorized"), (400, "bad_request")])
async def test_refusals_are_final(wire: Wire, codec: Codec, status: int, code: str) -> None:
    """A no that will stay a no is raised at once, in the server's words."""
    async with serving(problem(status, code), codec=codec) as (_, client, sleeper):
        with pytest.raises(RefusedError) as caught:
            await follow(client, wire)
        assert (caught.value.status, caught.value.code) == (status, code)
        assert caught.value.error.message == "No."
        assert sleeper.waits == []


async def test_refused_by_reply() -> None:
    """A command that is refused on an open WebSocket is as final, and one that may pass is tried again."""
    busy = {"type": "error", "error": {"code": "limit_observations", "message": "Busy.", "retryable": True}}
    gone = {"type": "error", "error": {"code": "not_found", "message": "Gone.", "retryable": False}}
    odd = {"type": "error"}
    scripts = [Script(frames=lambda after, said=said: [said], hang=True) for said in (busy, odd, gone)]  # type: ignore[misc]
    async with serving(*scripts) as (_, client, sleeper):
        with pytest.raises(RefusedError, match=r"not_found: Gone\."):
            await follow(client, "ws")
        assert sleeper.waits == [0.5, 1.0]


@every_wire
async def test_refusals_that_pass(wire: Wire, codec: Codec) -> None:
    """Overload and a proxy's error page are waited out, and `Retry-After` is honoured."""
    busy = problem(503, "overloaded", retryable=True, **{"Retry-After": "4"})
    page = Script(status=502, body=b"<html>Bad gateway</html>")
    async with serving(busy, page, codec=codec) as (_, client, sleeper):
        assert [item.cursor for item in await follow(client, wire)] == IDS
        assert sleeper.waits == [4.5, 1.0]


@pytest.mark.parametrize("wire", ["sse", "ndjson"])
async def test_not_our_stream(wire: Wire) -> None:
    """A sign-in page, and bytes that are no frames, cost a connection each."""
    page = Script(raw=b"<html>", headers={"Content-Type": "text/html"})
    noise = Script(raw=b"data: {]\n\n{]\n")
    number = Script(raw=b"data: 7\n\n7\n")
    async with serving(page, noise, number) as (_, client, sleeper):
        assert [item.cursor for item in await follow(client, wire)] == IDS
        assert len(sleeper.waits) == 3


async def test_gives_up() -> None:
    """A server that is never there is given up, with the last drop as the cause."""
    now = 0.0

    async def pass_time(wait_s: float) -> None:
        nonlocal now
        now += wait_s

    async with serving() as (server, _, _):
        pass
    async with Client(server.url, give_up_s=30, sleep=pass_time, clock=lambda: now, jitter=lambda: 0.9) as client:
        for wire in ("ws", "sse", "ndjson"):
            now = 0.0
            with pytest.raises(UnreachableError, match="gave up after 30 s"):
                await follow(client, wire)


async def test_end_is_final() -> None:
    """After its end, an error or a close, an observation yields nothing more."""
    async with serving(problem(404, "not_found")) as (_, client, _):
        observation = client.observe(GENERATION)
        with pytest.raises(RefusedError):
            await anext(observation)
        with pytest.raises(StopAsyncIteration):
            await anext(observation)
        closed = client.observe(GENERATION)
        await closed.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(closed)


@every_wire
async def test_leaving_closes(wire: Wire, codec: Codec) -> None:
    """Leaving in the middle closes the connection at once."""
    part = Script(frames=lambda after: [position("e1-0", "e1-3"), *LOG[:3]], hang=True)
    async with serving(part, codec=codec) as (server, client, _):
        async with client.observe(GENERATION, wire=wire) as observation:
            assert (await anext(observation)).cursor == "e1-1"
        await server.left.wait()


@every_wire
async def test_cancelled_iteration_goes_on(wire: Wire, codec: Codec) -> None:
    """A timeout around `anext` closes the connection, and the next `anext` loses and repeats nothing."""
    part = Script(frames=lambda after: [position("e1-0", "e1-3"), *LOG[:3]], hang=True)
    async with serving(part, codec=codec) as (server, client, _):
        async with client.observe(GENERATION, wire=wire) as observation:
            got = [await anext(observation) for _ in range(3)]
            waiting = asyncio.ensure_future(anext(observation))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await server.left.wait()
            got += [item async for item in observation]
        assert [item.cursor for item in got] == IDS


async def test_cancel_at_every_wait() -> None:
    """Wherever an iteration is cancelled, before the connection or in its middle, it can go on."""
    async with serving() as (_, client, _):
        for wire in ("ws", "sse", "ndjson"):
            for turns in range(0, 40, 3):
                observation = client.observe(GENERATION, wire=wire)
                got: list[str] = []

                async def collect(observation: Any = observation, got: list[str] = got) -> None:
                    async for item in observation:
                        got.append(item.cursor)  # noqa: PERF401 - what was got before the cancel counts

                task = asyncio.ensure_future(collect())
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait({task})
                await collect()
                assert got == IDS


async def test_switches_wires() -> None:
    """The wire can be another one on every connection."""
    wires: list[Wire] = ["ws", "sse", "ndjson"]

    def parts(start: int) -> Callable[[str | None], list[dict[str, Any]]]:
        return lambda after: [position(after or "e1-0", "e1-9"), *LOG[start : start + 2]]

    async with serving(Script(frames=parts(0)), Script(frames=parts(2))) as (server, client, _):
        async with client.observe(GENERATION, wire="ws") as observation:
            got = []
            async for item in observation:
                got.append(item.cursor)
                observation.wire = wires[min(len(got) // 2, 2)]
        assert got == IDS
        assert [asked.wire for asked in server.asked] == wires


@every_wire
async def test_options(wire: Wire, codec: Codec) -> None:
    """The options of an observation are sent by their names, and only those that were given."""
    json_end = {"type": "json", "generation": GENERATION, "value": 1, "final": True}
    whole = Script(frames=lambda after: [position("e1-3", "e1-7"), *LOG[3:], json_end], hang=True)
    async with serving(whole, codec=codec) as (server, client, _):
        given: dict[str, Any] = {"replay": "merged", "view": "json", "pace": "20,5", "flush_ms": 50}
        items = await follow(client, wire, after="e1-3", **given)
        assert [item.cursor for item in items] == [*IDS[3:], "e1-7"]
        asked = server.asked[0].query
        expected = {"after": "e1-3", **given}
        if wire == "ws":
            assert asked == {"type": "observe", "ref": 1, "generation": GENERATION, **expected}
        else:
            assert asked == {name: str(value) for name, value in expected.items()}


@every_wire
async def test_silence_is_death(wire: Wire, codec: Codec) -> None:
    """A connection on which nothing comes, not even a heartbeat, is left for a new one."""
    mute = Script(frames=lambda after: [position("e1-0", "e1-3"), *LOG[:3]], hang=True)
    async with serving(mute, codec=codec, silence_s=0.05) as (server, client, _):
        assert [item.cursor for item in await follow(client, wire)] == IDS
        assert len(server.asked) == 2


@pytest.mark.parametrize(("code", "fatal"), [(1003, True), (1009, True), (1011, False), (1012, False), (4508, False)])
async def test_close_codes(code: int, fatal: bool) -> None:
    """A close that blames this client is final; every other one is resumed."""
    part = Script(frames=lambda after: [position("e1-0", "e1-3"), *LOG[:3]], close_code=code)
    async with serving(part) as (_, client, _):
        if fatal:
            with pytest.raises(Exception, match=f"closed with {code}"):
                await follow(client, "ws")
        else:
            assert [item.cursor for item in await follow(client, "ws")] == IDS
