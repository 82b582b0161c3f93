"""The WebSocket's own rules: replies before events, one observation per generation, silence after unobserve."""

from typing import Any

import pytest

from tests.support.http import start
from tests.support.raw import SocketConnection, WireName
from tests.support.server import RunningServer, serving

ENDLESS: dict[str, Any] = {"model": "demo/default", "prompt": "On.", "options": {"rate": 200, "tokens": 50_000}}
SOCKETS: tuple[WireName, ...] = ("ws-json", "ws-msgpack")


async def opened(server: RunningServer, wire: WireName = "ws-json") -> SocketConnection:
    """A socket that has shaken hands."""
    connection = SocketConnection(server.address, wire)
    await connection.connect()
    return connection


async def next_value(connection: SocketConnection, kind: str) -> dict[str, Any]:
    """The next frame of a type."""
    while True:
        for frame in await connection.receive():
            if frame.value["type"] == kind:
                return frame.value


@pytest.mark.parametrize("wire", SOCKETS)
async def test_a_reply_comes_before_what_it_causes(wire: WireName) -> None:
    """ok to start, then position, then events; the ref is the one that was sent."""
    async with serving() as server:
        connection = await opened(server, wire)
        await connection.send("start", 7, request=ENDLESS)
        values: list[dict[str, Any]] = []
        while len(values) < 3:
            values += [frame.value for frame in await connection.receive()]
        assert [value["type"] for value in values[:3]] == ["ok", "position", "started"]
        assert (values[0]["ref"], values[0]["replayed"]) == (7, False)
        assert values[0]["generation"] == values[1]["generation"] == values[2]["generation"]
        await connection.close()


async def test_a_start_need_not_observe() -> None:
    """With observe false nothing comes but the reply; a repeat of the key is a replay."""
    async with serving() as server:
        connection = await opened(server)
        fields: dict[str, Any] = {"request": ENDLESS, "observe": False, "idempotency_key": "k"}
        first = await connection.command("start", **fields)
        again = await connection.command("start", **fields)
        assert (again["generation"], again["replayed"]) == (first["generation"], True)
        assert (await connection.command("ping"))["type"] == "ok"
        await connection.close()


async def test_nothing_comes_after_the_reply_to_unobserve() -> None:
    """However many events are under way; the generation goes on."""
    async with serving() as server:
        connection = await opened(server)
        generation = (await connection.command("start", request=ENDLESS, observe=False))["generation"]
        await connection.send("observe", "o", generation=generation)
        await next_value(connection, "text")
        await connection.send("unobserve", "u", generation=generation)
        while (await next_value(connection, "ok"))["ref"] != "u":
            pass
        await server.reached(generation, (await server.log(generation)).head + 20)
        await connection.send("ping", "p")
        assert [frame.value["type"] for frame in await connection.receive()] == ["ok"]
        await connection.close()


async def test_a_second_observe_moves_the_place() -> None:
    """Its position follows its reply, and the log has one observer."""
    async with serving() as server:
        connection = await opened(server)
        generation = (await connection.command("start", request=ENDLESS, observe=False))["generation"]
        log = await server.reached(generation, 10)
        await connection.send("observe", 1, generation=generation)
        await next_value(connection, "text")
        await connection.send("observe", 2, generation=generation, after=f"{log.epoch}-5")
        while (await next_value(connection, "ok"))["ref"] != 2:
            pass
        assert (await next_value(connection, "position"))["cursor"] == f"{log.epoch}-5"
        assert (await next_value(connection, "text"))["id"] == f"{log.epoch}-6"
        assert log.observers == 1
        await connection.close()


async def test_one_socket_observes_many_generations() -> None:
    """Up to its limit; one more is refused by name and the others go on."""
    async with serving() as server:
        connection = await opened(server)
        generations = [await start(server.address, **ENDLESS) for _ in range(65)]
        for number, generation in enumerate(generations):
            await connection.send("observe", number, generation=generation)
        replies: dict[int, dict[str, Any]] = {}
        while len(replies) < 65:
            for frame in await connection.receive():
                if frame.value["type"] in ("ok", "error"):
                    replies[frame.value["ref"]] = frame.value
        assert {replies[number]["type"] for number in range(64)} == {"ok"}
        assert (replies[64]["error"]["code"], replies[64]["error"]["limit"]) == ("limit_observations", 64)
        assert (await next_value(connection, "text"))["type"] == "text"
        await connection.close()


async def test_a_finished_log_that_is_known_is_answered_and_nothing_comes() -> None:
    """ok with the state and the cursor; the socket stays."""
    async with serving() as server:
        generation = await start(server.address, **{**ENDLESS, "options": {"rate": 10_000, "tokens": 3}})
        log = await server.finished(generation)
        connection = await opened(server)
        reply = await connection.command("observe", generation=generation, after=log.cursor)
        assert (reply["state"], reply["cursor"]) == ("finished", log.cursor)
        assert (await connection.command("ping"))["type"] == "ok"
        await connection.close()


async def test_a_heartbeat_is_of_the_socket() -> None:
    """It comes on an idle socket, whatever it observes."""
    async with serving(heartbeat_s=0.2) as server:
        connection = await opened(server)
        assert await next_value(connection, "heartbeat") == {"type": "heartbeat"}
        await connection.close()
