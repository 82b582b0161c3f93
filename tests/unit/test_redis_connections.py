"""The calls to Redis, and how long each may take."""

import asyncio

import pytest

from realtime.bus.redis.connections import Connections
from realtime.bus.redis.metrics import BusMetrics

from ..support.redis_server import RedisServer

# Has Redis do nothing else for 10 ms.
_BUSY = """
local function now() local time = redis.call('TIME') return time[1] * 1000000 + time[2] end
local since = now()
repeat until now() - since >= 10000
return 'done'
"""


async def test_waiting_for_a_connection_is_not_waiting_for_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of calls at once take longer than one may, and none of them is taken for lost."""
    monkeypatch.setattr("realtime.bus.redis.nodes.CALL_S", 1.0)
    async with RedisServer() as server:
        connections = Connections(server.url, BusMetrics(None))
        answers = await asyncio.gather(*(connections.all([("EVAL", _BUSY, 1, "key")]) for _ in range(200)))
        assert answers == [[b"done"]] * 200
        await connections.close()
