"""What machines ask for: whether the server lives, takes work, and how it is doing."""

import asyncio
import json
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.http import request, start, stop
from tests.support.server import RunningServer, serving

from .refusals import TEXT, connected, frame, read_frame, request_bytes, shaken

SHORT: dict[str, Any] = {"model": "demo/default", "options": {"tokens": 5, "rate": 100_000}}
ENDLESS: dict[str, Any] = {"model": "demo/default", "options": {"tokens": 200_000, "rate": 10}}

NAMES = {
    "realtime_attempts",
    "realtime_cost_dollars",
    "realtime_unknown_chunks",
    "realtime_live_generations",
    "realtime_observers",
    "realtime_time_to_first_token_seconds",
    "realtime_generation_duration_seconds",
    "realtime_output_tokens_per_second",
    "realtime_generations",
    "realtime_tokens",
    "realtime_stops",
    "realtime_observations_ended",
}


async def samples(server: RunningServer) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Every sample of `/metrics`, by name and labels."""
    answer = await request(server.address, "GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(answer.body.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def total(values: dict[tuple[tuple[str, str], ...], float], **labels: str) -> float:
    """The sum over all samples with these labels."""
    return sum(value for key, value in values.items() if labels.items() <= dict(key).items())


@pytest.mark.parametrize("target", ["/livez", "/healthz"])
async def test_alive(target: str) -> None:
    """A process that answers is alive, draining or not."""
    async with serving() as server:
        for draining in (False, True):
            server.sessions.draining = draining
            answer = await request(server.address, "GET", target)
            assert (answer.status, answer.json()) == (200, {"status": "ok"})


async def test_ready() -> None:
    """A server that drains is not ready, and says when to ask again."""
    async with serving() as server:
        answer = await request(server.address, "GET", "/readyz")
        assert (answer.status, answer.json()) == (200, {"status": "ready"})
        server.sessions.draining = True
        answer = await request(server.address, "GET", "/readyz")
        assert (answer.status, answer.json()["code"]) == (503, "draining")
        assert int(answer.headers["retry-after"]) >= 1


async def test_metric_names() -> None:
    """Every metric is there, from the first scrape on where it has no labels, and has a help text."""
    async with serving() as server:
        families = text_string_to_metric_families((await request(server.address, "GET", "/metrics")).body.decode())
        named = {family.name: family.documentation for family in families}
        assert named.keys() == NAMES
        assert all(named.values())


async def test_a_generation_is_counted() -> None:
    """A generation moves the live gauge up and down, and ends up in the histograms and counters, once."""
    async with serving() as server:
        before = await samples(server)
        assert before["realtime_live_generations"] == {(): 0}
        generation = await start(server.address, **ENDLESS)
        assert (await samples(server))["realtime_live_generations"] == {(): 1}
        await server.reached(generation, 3)
        await stop(server.address, generation)
        await server.finished(generation)
        completed = await start(server.address, **SHORT)
        await server.finished(completed)
        await _settled(server)
        after = await samples(server)
    assert after["realtime_live_generations"] == {(): 0}
    model = {"provider": "demo", "model": "default"}
    assert total(after["realtime_generations_total"], **model, outcome="stopped", code="owner") == 1
    assert total(after["realtime_generations_total"], **model, outcome="completed", code="stop") == 1
    assert total(after["realtime_time_to_first_token_seconds_count"], **model) == 2
    assert total(after["realtime_generation_duration_seconds_count"], **model) == 2
    assert total(after["realtime_tokens_total"], direction="output", estimated="false") == 5
    assert total(after["realtime_tokens_total"], direction="output", estimated="true") >= 1
    assert total(after["realtime_stops_total"], by="owner") == 1


async def test_a_failure_is_counted() -> None:
    """A failure is counted under its code."""
    async with serving() as server:
        generation = await start(server.address, model="demo/default", options={"fault": "error", "rate": 10_000})
        await server.finished(generation)
        await _settled(server)
        after = await samples(server)
    assert total(after["realtime_generations_total"], outcome="failed", code="upstream_overloaded") == 1


async def test_observers_are_counted() -> None:
    """Observers are counted by wire while they are there, and by the way they left."""
    async with serving() as server:
        generation = await start(server.address, **ENDLESS)
        events = f"/v1/generations/{generation}/events"
        async with connected(server.address) as (reader, writer), shaken(server.address) as (frames, socket):
            writer.write(request_bytes(server.address, "GET", f"{events}?wire=ndjson"))
            await reader.readuntil(b'"position"')
            socket.write(frame(TEXT, json.dumps({"type": "observe", "generation": generation}).encode()))
            while b'"events"' not in (await read_frame(frames))[1]:
                pass
            observers = (await samples(server))["realtime_observers"]
            assert (total(observers, wire="ndjson"), total(observers, wire="ws")) == (1, 1)
            await stop(server.address, generation)
            await server.finished(generation)
            while b'"finished"' not in (await read_frame(frames))[1]:
                pass
            await reader.readuntil(b'"finished"')
        after = await samples(server)
    assert set(after["realtime_observers"].values()) == {0}
    assert total(after["realtime_observations_ended_total"], why="finished") == 2


async def test_models_are_bounded() -> None:
    """A caller who makes up models makes up no metrics without end: refused starts are not counted at all."""
    async with serving() as server:
        for n in range(5):
            body = {"model": f"demo/made-up-{n}", "prompt": "x"}
            assert (await request(server.address, "POST", "/v1/generations", body)).status == 400
        assert b"made-up" not in (await request(server.address, "GET", "/metrics")).body


async def test_two_servers() -> None:
    """Two servers in one process keep their own metrics."""
    async with serving() as one, serving() as other:
        await start(one.address, **ENDLESS)
        assert (await samples(one))["realtime_live_generations"] == {(): 1}
        assert (await samples(other))["realtime_live_generations"] == {(): 0}


async def _settled(server: RunningServer) -> None:
    """Wait until nothing is left to be done."""
    async with asyncio.timeout(10):
        await server.sessions.tasks.drain(10)
