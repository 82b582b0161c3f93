"""What is asked of Redis over kept connections: each answer to whoever asked, or an error."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import ConnectionPool
from redis.exceptions import ResponseError

from realtime.bus.redis.connections import Connections
from realtime.bus.redis.lines import Lines
from realtime.bus.redis.metrics import BusMetrics

from ..support.redis_server import RedisServer

_AT_ONCE = 5


@asynccontextmanager
async def lines(server: RedisServer) -> AsyncIterator[Lines]:
    """To that server."""
    asked = Lines(ConnectionPool(host="127.0.0.1", port=server.port, protocol=3))
    try:
        yield asked
    finally:
        await asked.close()


async def test_answers_are_never_anothers() -> None:
    """Whoever is cancelled, at whatever moment, nobody is given an answer to something else."""
    chance = random.Random(11)
    async with RedisServer() as server, lines(server) as asked:

        async def ask(number: int) -> None:
            words = [f"{number}-{n}" for n in range(chance.randrange(1, 20))]
            assert await asked.ask([("ECHO", word) for word in words]) == [word.encode() for word in words]

        for _ in range(20):
            tasks = [asyncio.ensure_future(ask(number)) for number in range(20)]
            for task in tasks:
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
                if chance.random() < 0.3:
                    task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(one) for one in done} <= {type(None), asyncio.CancelledError}


async def test_a_refusal_is_the_answer_to_what_was_refused() -> None:
    """The others of the same round trip have theirs."""
    async with RedisServer() as server, lines(server) as asked:
        answers = await asked.ask([("SET", "a", "b"), ("INCR", "a"), ("GET", "a")])
        assert answers[::2] == [b"OK", b"b"]
        assert isinstance(answers[1], ResponseError)


async def test_a_connection_that_has_ended_is_made_anew() -> None:
    """A Redis that was started again while nobody asked is asked over a new one, at once."""
    async with RedisServer() as server, lines(server) as asked:
        assert await asked.ask([("PING",)]) == [b"PONG"]
        await server.kill()
        await server.start()
        assert await asked.ask([("PING",)]) == [b"PONG"]


async def test_a_master_that_was_replaced_is_asked_no_more() -> None:
    """Though it still answers, none of the connections to it is kept once a Sentinel names another."""
    async with RedisServer() as one, RedisServer() as other, RedisServer(sentinel_of=one.port) as sentinel:
        connections = Connections(f"redis+sentinel://127.0.0.1:{sentinel.port}/main/0", BusMetrics(None))

        async def answering() -> set[int]:
            answers = await asyncio.gather(*(connections.all([("CONFIG", "GET", "port")]) for _ in range(_AT_ONCE)))
            return {int(dict(answer)[b"port"]) if isinstance(answer, dict) else int(answer[1]) for (answer,) in answers}

        assert await answering() == {one.port}
        async with sentinel.client() as client:
            await client.execute_command("SENTINEL", "REMOVE", "main")  # type: ignore[no-untyped-call]
            await client.execute_command("SENTINEL", "MONITOR", "main", "127.0.0.1", other.port, 1)  # type: ignore[no-untyped-call]
        await connections.find_master()
        assert await answering() == {other.port}
        await connections.close()
