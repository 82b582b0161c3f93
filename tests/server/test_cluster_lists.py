"""Lists and conversations over a cluster that has lost a node: whole, or refused; never with something left out."""

from typing import Any

import pytest

from realtime.bus.redis.keys import log_keys, tenant_keys
from tests.support.eventually import eventually
from tests.support.http import request, start
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_server import RedisServer
from tests.support.server import RunningServer, serving

pytestmark = pytest.mark.slow

_QUICK: dict[str, Any] = {"model": "demo/default", "conversation": "c", "options": {"rate": 10_000, "tokens": 3}}
_LISTS = (
    "/v1/generations",
    "/v1/generations?conversation=c",
    "/v1/conversations/c",
    "/v1/conversations/c/events?wire=ndjson",
)


async def made_on(server: RunningServer, cluster: RedisCluster) -> dict[int, str]:
    """An ended generation on each node, by the node's port."""
    made: dict[int, str] = {}
    while len(made) < len(cluster.nodes):
        generation = await start(server.address, **_QUICK)
        await server.finished(generation)
        made.setdefault((await cluster.owner(log_keys("default", generation).log)).port, generation)
    return made


async def lost_beside(cluster: RedisCluster) -> RedisServer:
    """A node that has none of the tenant's lists, killed."""
    lists = await cluster.owner(tenant_keys("default", None).all)
    lost = cluster.after(lists)
    await lost.kill()
    return lost


async def test_a_list_of_what_is_with_a_lost_node_is_refused() -> None:
    """With 503, the code, and when to come again, though the list itself is elsewhere; an `EventSource` is told so on
    its stream. Each of the generations that are there is served, and with the node the lists are again."""
    async with RedisCluster() as cluster, serving(redis_url=cluster.url) as server:
        made = await made_on(server, cluster)
        lost = await lost_beside(cluster)
        for path in _LISTS:
            refused = await request(server.address, "GET", path)
            assert (refused.status, refused.json()["code"], refused.headers["retry-after"]) == (
                503,
                "bus_unavailable",
                "5",
            )
        told = await request(server.address, "GET", "/v1/conversations/c/events?wire=sse")
        assert (told.status, b"event: bye" in told.body) == (200, True)
        for port, generation in made.items():
            if port != lost.port:
                found = await request(server.address, "GET", f"/v1/generations/{generation}")
                assert (found.status, found.json()["id"]) == (200, generation)
        await lost.start()

        async def listed() -> bool:
            page = await request(server.address, "GET", "/v1/generations")
            return page.status == 200 and set(made.values()) <= {each["id"] for each in page.json()["generations"]}

        await eventually(listed, "all of them are listed")
