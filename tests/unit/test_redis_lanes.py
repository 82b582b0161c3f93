"""What is listened to in Redis."""

import asyncio

import pytest
from redis.asyncio.client import PubSub

from realtime.bus.redis.connections import Connections
from realtime.bus.redis.keys import asked
from realtime.bus.redis.lanes import Lanes
from realtime.bus.redis.metrics import BusMetrics
from realtime.bus.redis.nodes import Place

from ..support.redis_server import RedisServer

_SOON_S = 10.0


async def nothing() -> None:
    """There is nothing to look for."""


async def test_a_lane_that_is_joined_while_the_connection_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is listened to like those that were wanted before, and the process counts as listening."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    connecting, go = asyncio.Event(), asyncio.Event()
    async with RedisServer() as server:
        connections = Connections(server.url, BusMetrics(None))
        make = connections.listener

        def listener(place: Place) -> PubSub:
            made = make(place)
            subscribe = made.subscribe

            async def slowly(*names: str) -> None:
                connecting.set()
                await go.wait()
                await subscribe(*names)

            monkeypatch.setattr(made, "subscribe", slowly)
            return made

        monkeypatch.setattr(connections, "listener", listener)
        lanes = Lanes(connections, "worker", heard.put_nowait, nothing)
        await connecting.wait()
        await lanes.join(3)
        go.set()
        await lanes.ready()
        await connections.all([("PUBLISH", asked(3), b"told")])
        async with asyncio.timeout(_SOON_S):
            assert await heard.get() == b"told"
        await lanes.close()
        await connections.close()


async def test_a_connection_that_was_lost_often_is_made_anew_as_soon_as_the_first_time() -> None:
    """Only where there is none to be had does the process wait longer each time."""
    listens: asyncio.Queue[None] = asyncio.Queue()

    async def listening() -> None:
        listens.put_nowait(None)

    async with RedisServer() as server:
        connections, client = Connections(server.url, BusMetrics(None)), server.client()
        lanes = Lanes(connections, "worker", lambda _: None, listening)
        async with asyncio.timeout(_SOON_S):
            for _ in range(20):
                await listens.get()
                await client.client_kill_filter(_type="pubsub")
            await listens.get()
        await lanes.close()
        await connections.close()
        await client.aclose()
