"""What is logged, by a real process at the lowest level: a few lines of sense, and nothing anyone said."""

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from realtime.server.log_format import configure_logging
from tests.support.http import Response, request
from tests.support.server import Address
from tests.upstream import Exchange, Reply, Upstream, chat

from .refusals import TEXT, ask, frame, handshake_bytes, read_frame, request_bytes, shaken
from .running import running

SECRET = "s3cret"
KEY = f"{SECRET}-key"
BEARER = {"Authorization": f"Bearer {KEY}"}


def said(model: str = "demo/default", **options: Any) -> dict[str, Any]:
    """A request that says the secret wherever a caller can."""
    return {
        "model": model,
        "messages": [{"role": "user", "content": f"{SECRET} prompt"}],
        "system": f"{SECRET} system",
        "tools": [{"name": f"{SECRET}-tool", "description": f"{SECRET} description"}],
        "stop": [f"{SECRET} stop"],
        "metadata": {SECRET: SECRET},
        "options": {"rate": 100_000, "tokens": 300, "text": f"{SECRET} answer " * 200, **options},
    }


async def post(address: Address, body: Any, **headers: str) -> Response:
    """Start a generation, and wait for its end."""
    given = {**BEARER, "Prefer": "wait=20", "Idempotency-Key": f"{SECRET}-{len(str(body))}", **headers}
    return await request(address, "POST", "/v1/generations", body, given)


async def talk(address: Address) -> None:
    """Say the secret in every way that is refused."""
    wrong = [{SECRET: 1}, {**said(), "conversation": f"{SECRET} space"}, {**said(), "model": f"nope/{SECRET}"}, SECRET]
    for body in wrong:
        assert (await post(address, body)).status == 400
    raw = f'{{"model": "{SECRET}"'.encode()
    for data in (raw, b"\xff" + raw):
        await ask(address, request_bytes(address, "POST", "/v1/generations", BEARER, data))
    for target in (f"/v1/models?{SECRET}={SECRET}", f"/{SECRET}", f"/v1/generations/{SECRET}/events?after={SECRET}"):
        await ask(address, request_bytes(address, "GET", target, BEARER))
        await ask(address, request_bytes(address, "GET", target, {"Authorization": f"Bearer {SECRET}"}))
        await ask(address, handshake_bytes(address, BEARER.items(), target=target))
    await ask(address, f"GET /{SECRET} nonsense\r\n{SECRET}\r\n\r\n".encode())


async def talk_on_a_socket(address: Address) -> None:
    """Start, and be refused, on a socket."""
    async with shaken(address, headers=BEARER.items()) as (reader, writer):
        messages = [{"type": SECRET}, {"type": "ping", SECRET: SECRET}, {"type": "stop", "generation": SECRET}]
        for message in [*messages, {"type": "start", "observe": False, "request": said()}]:
            writer.write(frame(TEXT, json.dumps(message).encode()))
            await read_frame(reader)
        writer.write(frame(TEXT, SECRET.encode() + b"\xff"))
        await read_frame(reader)


async def test_nothing_said_is_logged() -> None:
    """Prompts, answers, metadata, keys, queries and refused input are in no line, at the lowest level."""
    async with running("--log-level", "debug", REALTIME_API_KEY=KEY) as (process, address):
        assert (await post(address, said())).status == 201
        assert (await post(address, said(fault="error", fault_after=250))).json()["outcome"] == "failed"
        await talk(address)
        await talk_on_a_socket(address)
        process.signal()
        assert await process.ended() == 0
        assert SECRET not in process.log
        assert "Traceback" not in process.log
        assert "completed" in process.log


def echo(exchange: Exchange) -> Reply:
    """A fault that says all that was asked, and with what key: as a status, as a completion, in the stream."""
    told = json.dumps([exchange.body, exchange.headers])
    error = {"message": told, "type": told, "code": KEY, "param": told}
    match exchange.body["model"]:
        case "status":
            return Reply.json({"error": error}, 400)
        case "completion":
            return Reply.json({"choices": [{"message": {"content": told}}]})
    return Reply([*chat.text(SECRET, finish=None), chat.event({"error": error})])


async def test_nothing_a_provider_repeats_is_logged() -> None:
    """An upstream that echoes prompt and key in its faults gets them into no line, at the lowest level."""
    async with (
        Upstream(echo) as upstream,
        running("--log-level", "debug", OPENAI_API_KEY=KEY, OPENAI_BASE_URL=upstream.url) as (process, address),
    ):
        for model in ("status", "completion", "stream"):
            body = {**said(f"openai/{model}"), "options": {}}
            answer = await post(address, body, **{"Idempotency-Key": f"{SECRET}-{model}"})
            assert answer.json()["outcome"] == "failed"
        process.signal()
        assert await process.ended() == 0
        assert SECRET not in process.log
        # What is no event stream may have been an accident, and is tried again.
        assert process.log.count("provider failed: upstream_") == 5


async def test_lines_of_a_generation() -> None:
    """A generation is a line each at its start, first event and end, with what a dashboard needs; none for a token."""
    async with running("--log-format", "json") as (process, address):
        body = {
            "model": "demo/default",
            "prompt": "x",
            "options": {"rate": 100_000, "tokens": 500},
            "conversation": "c",
        }
        completed = (await post(address, body)).json()
        failed = (await post(address, {**body, "options": {"fault": "error", "rate": 100_000}})).json()
        stopped = (await request(address, "POST", "/v1/generations", {**body, "options": {"fault": "stall"}})).json()
        await request(address, "POST", f"{stopped['links']['self']}/stop")
        process.signal()
        assert await process.ended() == 0
        lines = [json.loads(line) for line in process.lines if line.startswith("{")]
    assert all({"at", "level", "logger", "message"} <= line.keys() for line in lines)

    def of(generation: str) -> list[dict[str, Any]]:
        return [line for line in lines if line.get("generation") == generation]

    started, first, ended = of(completed["id"])
    assert (started["message"], first["message"], ended["message"]) == ("started", "first event", "completed")
    assert (started["model"], started["conversation"], started["level"]) == ("demo/default", "c", "info")
    assert first["after_ms"] >= 0
    assert (ended["reason"], ended["provider"], ended["usage"]["output_tokens"]) == ("stop", "demo", 500)
    assert ended["timings"]["first_event_ms"] == first["after_ms"]

    *_, ended = of(failed["id"])
    assert (ended["message"], ended["level"], ended["error"]) == ("failed", "warning", "upstream_overloaded")

    asked, ended = of(stopped["id"])[-2:]
    assert (asked["message"], asked["by"]) == ("stop requested", "owner")
    assert (ended["message"], ended["stopped_by"]) == ("stopped", "owner")


async def test_lines_as_text() -> None:
    """On a terminal a line is the time, the level and the fields; there is no line for a request."""
    async with running() as (process, address):
        body = {"model": "demo/default", "prompt": "x", "options": {"rate": 100_000, "tokens": 500}}
        generation = (await post(address, body)).json()["id"]
        for _ in range(5):
            await request(address, "GET", "/v1/generations?limit=1")
        process.signal()
        await process.ended()
    about = [line for line in process.lines if generation in line]
    assert [line.split("realtime: ")[1].split(" generation=")[0] for line in about] == [
        "started",
        "first event",
        "completed",
    ]
    assert "/v1/" not in process.log


@pytest.fixture
def loggers() -> Any:
    """The loggers that are configured, as they were before."""
    kept = [(logging.getLogger(name), logging.getLogger(name).handlers[:]) for name in ("realtime", "uvicorn")]
    states = [(logger.level, logger.propagate) for logger, _ in kept]
    yield
    for (logger, handlers), (level, propagate) in zip(kept, states, strict=True):
        logger.handlers[:] = handlers
        logger.setLevel(level)
        logger.propagate = propagate


@pytest.mark.usefixtures("loggers")
@pytest.mark.parametrize("log", [logging.getLogger("realtime").error, logging.getLogger("uvicorn.error").error])
def test_json_of_an_exception(capsys: pytest.CaptureFixture[str], log: Callable[..., None]) -> None:
    """A traceback stays within its line."""
    configure_logging("json", "info")
    log("it broke: %s", "here\nthere", exc_info=ValueError("why"))
    (line,) = capsys.readouterr().err.splitlines()
    logged = json.loads(line)
    assert (logged["message"], logged["level"]) == ("it broke: here\nthere", "error")
    assert "ValueError: why" in logged["exception"]


@pytest.mark.usefixtures("loggers")
def test_level(capsys: pytest.CaptureFixture[str]) -> None:
    """What is below the level is not logged."""
    configure_logging("text", "warning")
    logging.getLogger("realtime").info("not this")
    logging.getLogger("realtime").warning("this", extra={"fields": {"a": 1, "b": "c"}})
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("WARNING realtime: this a=1 b=c")
