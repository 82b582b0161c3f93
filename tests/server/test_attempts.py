"""A generation through providers that fail, are full or are replaced: what its observers see, on the real server."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.http import request, start, stop
from tests.support.observer import Observer
from tests.support.raw import WIRES, WireName
from tests.support.server import RunningServer, serving
from tests.upstream import RESET, STALL, Exchange, Reply, Upstream, chat, messages

FAILURES: dict[str, Callable[[], Reply]] = {
    "500": lambda: Reply.json({"error": {"message": "no"}}, 500),
    "429": lambda: Reply.json({"error": {"message": "no"}}, 429),
    "529": lambda: Reply.json({"error": {"type": "overloaded_error"}}, 529),
    "reset": lambda: Reply(before=[RESET]),
    "garbage": lambda: Reply([b"<html>"]),
    "empty": lambda: Reply([]),
}


@asynccontextmanager
async def offering(tmp_path: Path, text: str) -> AsyncIterator[RunningServer]:
    """A server with this providers' file."""
    path = tmp_path / "providers.toml"
    path.write_text(text)
    (tmp_path / "key").write_text("sk-test\n")
    async with serving(providers_file=path) as server:
        yield server


def openai(alias: str, tmp_path: Path, upstream: Upstream, more: str = "") -> str:
    key, url = tmp_path / "key", f"{upstream.url}/v1"
    return f'[providers.{alias}]\nkind = "openai"\nkey_file = "{key}"\nbase_url = "{url}"\n{more}\n'


async def events(server: RunningServer, generation: str, wire: WireName = "ndjson") -> list[dict[str, object]]:
    """All events, as an observer has them."""
    observer = Observer(generation, wire)
    await observer.watch(server.address, wire)
    return observer.events


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failure_before_the_first_token_is_made_good(tmp_path: Path, failure: str) -> None:
    """By another try, which is an event of the log and says why the first did not do."""
    replies = [FAILURES[failure](), Reply(chat.text("Hello"))]
    async with Upstream(lambda _: replies.pop(0)) as upstream:
        retries = "[retries]\nbackoff_s = 0.01\n"
        async with offering(tmp_path, openai("one", tmp_path, upstream) + retries) as server:
            generation = await start(server.address, model="one/m", options={})
            await server.finished(generation)
            seen = await events(server, generation)
    assert [event["type"] for event in seen] == ["started", "attempt", "attempt", "text", "finished"]
    first, second = seen[1], seen[2]
    assert (first["n"], first.get("error"), second["n"]) == (1, None, 2)
    assert isinstance(second["error"], dict)
    assert seen[-1]["outcome"] == "completed"


async def test_after_the_first_token_nothing_is_begun_again(tmp_path: Path) -> None:
    """Whoever has read half a sentence is told that there is no more."""
    async with Upstream(Reply([*chat.text("Hel", finish=None), RESET])) as upstream:
        async with offering(tmp_path, openai("one", tmp_path, upstream)) as server:
            log = await server.finished(await start(server.address, model="one/m", options={}))
        assert len(upstream.exchanges) == 1
    assert log.finished is not None
    assert (log.finished.outcome, log.finished.error and log.finished.error.code) == ("failed", "upstream_truncated")


@pytest.mark.parametrize("wire", WIRES)
async def test_an_alias_moves_on(tmp_path: Path, wire: WireName) -> None:
    """From one provider to another, before the first token; every wire shows it."""
    async with Upstream(FAILURES["500"]()) as broken, Upstream(Reply(messages.text("Hello"))) as whole:
        text = openai("one", tmp_path, broken) + (
            f'[providers.two]\nkind = "anthropic"\nkey_file = "{tmp_path / "key"}"\nbase_url = "{whole.url}"\n'
            '[aliases]\nsmart = ["one/a", "two/b"]\n'
        )
        async with offering(tmp_path, text) as server:
            generation = await start(server.address, model="smart", options={})
            seen = await events(server, generation, wire)
        assert len(broken.exchanges) == 1
    asked = [(event["provider"], event["model"]) for event in seen if event["type"] == "attempt"]
    assert asked == [("one", "a"), ("two", "b")]
    assert seen[-1]["outcome"] == "completed"


async def test_a_silent_provider_is_left(tmp_path: Path) -> None:
    """Its deadline for the first event is its own, and the next one is asked."""
    async with Upstream(Reply([STALL])) as silent, Upstream(Reply(chat.text("Hello"))) as whole:
        text = openai("one", tmp_path, silent, "timeouts = { first_event = 0.1 }") + openai("two", tmp_path, whole)
        async with offering(tmp_path, text + '[aliases]\nsmart = ["one/a", "two/b"]\n') as server:
            log = await server.finished(await start(server.address, model="smart", options={}))
        await silent.exchanges[0].closed.wait()
    assert log.finished is not None
    assert log.finished.outcome == "completed"


async def test_keys_are_used_in_turn(tmp_path: Path) -> None:
    """By least load: each of two has one of two generations."""
    seen: list[str] = []

    def answer(exchange: Exchange) -> Reply:
        seen.append(exchange.headers["authorization"])
        return Reply([*chat.text("x", finish=None), STALL])

    async with Upstream(answer) as upstream:
        for name in ("a", "b"):
            (tmp_path / name).write_text(f"sk-{name}")
        keys = "".join(f'[[providers.one.deployments]]\nname = "{n}"\nkey_file = "{tmp_path / n}"\n' for n in "ab")
        text = f'[providers.one]\nkind = "openai"\nbase_url = "{upstream.url}/v1"\n{keys}'
        async with offering(tmp_path, text) as server:
            for _ in range(2):
                await server.reached(await start(server.address, model="one/m", options={}), 3)
    assert sorted(seen) == ["Bearer sk-a", "Bearer sk-b"]


async def test_a_full_provider_is_waited_for_in_line(tmp_path: Path) -> None:
    """The position is an event and part of the resource; a stop leaves the line; one too many is refused."""
    async with Upstream(Reply([*chat.text("x", finish=None), STALL])) as upstream:
        text = openai("one", tmp_path, upstream, "max_live = 1") + "[queue]\nlength = 2\n"
        async with offering(tmp_path, text) as server:
            running = await start(server.address, model="one/m", options={})
            await server.reached(running, 3)
            first, second = [await start(server.address, model="one/m", options={}) for _ in range(2)]
            for generation, position in ((first, 1), (second, 2)):
                await server.reached(generation, 2)
                shown = (await request(server.address, "GET", f"/v1/generations/{generation}")).json()
                assert (shown["state"], shown["queue_position"]) == ("queued", position)
            refused = await request(server.address, "POST", "/v1/generations", {"model": "one/m", "prompt": "x"})
            assert (refused.status, refused.json()["code"], refused.json()["limit"]) == (503, "overloaded", 2)
            await stop(server.address, first)
            await server.finished(first)
            await stop(server.address, running)
            await server.reached(second, 4)
            seen = await events(server, first)
            assert len(upstream.exchanges) == 2
    assert [event["type"] for event in seen] == ["started", "queued", "finished"]
    assert (seen[1]["position"], seen[-1]["outcome"]) == (1, "stopped")


async def test_a_new_file_is_taken_without_a_restart(tmp_path: Path) -> None:
    """What runs goes on as it began; a file that will not do changes nothing, and is logged."""
    async with (
        Upstream(Reply([*chat.text("x", finish=None), STALL])) as upstream,
        offering(tmp_path, openai("one", tmp_path, upstream)) as server,
    ):
        running = await start(server.address, model="one/m", options={})
        await server.reached(running, 3)
        path = tmp_path / "providers.toml"
        path.write_text("[providers.two]\nkind = 5\n")
        server.application.reload()
        assert set(server.sessions.catalogue.deployments) == {"one", "demo"}
        path.write_text(openai("two", tmp_path, upstream))
        server.application.reload()
        assert set(server.sessions.catalogue.deployments) == {"two", "demo"}
        await server.reached(await start(server.address, model="two/m", options={}), 3)
        assert (await server.log(running)).finished is None
        await stop(server.address, running)
        log = await server.finished(running)
    assert log.finished is not None
    assert log.finished.outcome == "stopped"


async def test_what_has_no_name_here_is_counted(tmp_path: Path) -> None:
    """So that an operator sees that a provider's wire has changed; the generation goes on."""
    said = [*messages.text("Hello", whole=False), messages.event("weather_report"), messages.stop(0), *messages.end()]
    async with Upstream(Reply(said)) as upstream:
        text = f'[providers.one]\nkind = "anthropic"\nkey_file = "{tmp_path / "key"}"\nbase_url = "{upstream.url}"\n'
        async with offering(tmp_path, text) as server:
            await server.finished(await start(server.address, model="one/m", options={}))
            metrics = (await request(server.address, "GET", "/metrics")).body.decode()
    assert 'realtime_unknown_chunks_total{kind="weather_report",provider="one"} 1.0' in metrics
