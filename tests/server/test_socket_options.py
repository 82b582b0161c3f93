"""What the kernel is told of every accepted connection."""

import asyncio
import socket

import pytest

import tests.support.server as support
from realtime.server.app import Application
from realtime.server.draining import DrainingServer
from realtime.server.process import create_server
from tests.support.http import HttpExchange, start
from tests.support.server import serving


async def test_an_accepted_socket_has_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound of its send buffer and the deadline for a peer that acknowledges nothing come from the listener."""
    servers: list[DrainingServer] = []

    def create(application: Application) -> DrainingServer:
        servers.append(create_server(application))
        return servers[-1]

    monkeypatch.setattr(support, "create_server", create)
    async with serving(send_buffer_bytes=64 * 1024, user_timeout_s=7.5) as server:
        exchange = HttpExchange(server.address)
        generation = await start(server.address, model="demo/default", prompt="x", options={"fault": "stall"})
        await exchange.ask("GET", f"/v1/generations/{generation}/events")
        sockets = [connection.transport.get_extra_info("socket") for connection in servers[0].server_state.connections]
        assert sockets
        for accepted in sockets:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7500
            # Linux keeps as much again for its own books, and says so.
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 2 * 64 * 1024
        await asyncio.wait_for(exchange.close(), 10)
