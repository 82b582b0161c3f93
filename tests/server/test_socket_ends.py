"""How sockets and their observations end: nothing stays behind, and nothing is taken for the server's fault."""

import asyncio
import gc
import json
from typing import Any, cast

import pytest

from realtime.cursor import Cursor
from realtime.log import EventLog
from realtime.observation import Observation
from tests.support.http import start
from tests.support.raw import SocketConnection
from tests.support.server import RunningServer, serving
from transports.asgi import Scope
from transports.codec import Bye
from transports.pulse import Pulse
from transports.subprotocol import JSON_MESSAGES
from transports.websocket import Actions, Socket

from .refusals import CLOSE, TEXT, close_code, frame, read_frame, shaken

ENDLESS: dict[str, Any] = {"model": "demo/default", "options": {"rate": 200, "tokens": 50_000}}
BAD: dict[str, tuple[bytes, int]] = {
    "no-utf-8": (frame(TEXT, b"\xff"), 1007),
    "too-long": (frame(TEXT, b"x" * 70_000), 1009),
}


async def test_what_is_unobserved_at_once_leaves_nothing() -> None:
    """An observation that is dropped before its task had a turn is gone like any other."""
    async with serving() as server, shaken(server.address) as (reader, writer):
        generation = await start(server.address, **ENDLESS)
        both = [{"type": kind, "generation": generation} for kind in ("observe", "unobserve")]
        asked = [*both * 50, {"type": "ping", "ref": "last"}]
        writer.write(b"".join(frame(TEXT, json.dumps(message).encode()) for message in asked))
        while json.loads((await read_frame(reader))[1]).get("ref") != "last":
            pass
        assert (await server.log(generation)).observers == 0
        (slot,) = server.application.service._open
        assert isinstance(slot._connection, Socket)
        assert slot._connection._observations._held == {}
        assert not [task for task in asyncio.all_tasks() if task.get_name() == f"pump {generation}"]


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("case", BAD)
async def test_a_bad_frame_under_way_is_not_the_servers_fault(case: str) -> None:
    """Whatever is being written then, the socket closes with its code and nothing is logged as an error."""
    bad, code = BAD[case]
    async with serving() as server, shaken(server.address) as (reader, writer):
        generations = [await start(server.address, **ENDLESS) for _ in range(6)]
        asked = [json.dumps({"type": "observe", "generation": generation}).encode() for generation in generations]
        writer.write(b"".join(frame(TEXT, message) for message in asked))
        seen = 0
        while seen < 30:
            seen += b'"type":"text"' in (await read_frame(reader))[1]
        # With a command before it in the same segment, which is answered after the socket was closed.
        writer.write(frame(TEXT, b'{"type":"ping"}') + bad)
        while (told := await read_frame(reader))[0] != CLOSE:
            pass
        assert close_code(told[1]) == code
        writer.write(frame(CLOSE, told[1][:2]))
        assert await reader.read() == b""
        while server.application.service.open_streams:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert {(await server.log(generation)).observers for generation in generations} == {0}


class OneLog:
    """The sessions, as a socket that only observes one log uses them."""

    def __init__(self, server: RunningServer, log: EventLog) -> None:
        self._server, self._log = server, log

    async def find(self, generation: str, cursor: Cursor | None) -> EventLog:
        return self._log

    def observe(self, log: EventLog, cursor: Cursor | None) -> Observation:
        return self._server.sessions.observe(log, cursor, "ws")


async def test_a_goodbye_does_not_cancel_a_socket_that_is_ending() -> None:
    """The client left in the same moment: the socket's task ends by itself, and its observer with it."""
    async with serving() as server:
        log = await server.log(await start(server.address, **ENDLESS))
        came: asyncio.Queue[Scope] = asyncio.Queue()
        observed = asyncio.Event()

        async def send(message: Scope) -> None:
            if "position" in message.get("text", ""):
                observed.set()

        actions = OneLog(server, log)
        socket = Socket(
            cast("Actions", actions), JSON_MESSAGES, echo=None, pulse=Pulse(), bye=lambda: Bye("draining", 1)
        )
        serving_it = asyncio.ensure_future(socket.run(came.get, send))
        command = json.dumps({"type": "observe", "generation": log.meta.generation})
        came.put_nowait({"type": "websocket.receive", "text": command})
        await observed.wait()
        came.put_nowait({"type": "websocket.disconnect"})
        socket.say_bye()
        await serving_it
        assert log.observers == 0


async def test_a_farewell_that_meets_a_peer_who_leaves_is_not_left_unsaid(recwarn: pytest.WarningsRecorder) -> None:
    """Whichever comes first, and however few turns of the loop lie between them."""
    for turns in range(8):
        async with serving() as server:
            sockets = [SocketConnection(server.address, "ws-json") for _ in range(8)]
            for one in sockets:
                await one.connect()
                await one.command("ping")
            for one in sockets:
                one.transport.abort()
            for _ in range(turns):
                await asyncio.sleep(0)
            await server.application.service.farewell(5)
    gc.collect()
    assert [str(one.message) for one in recwarn] == []
