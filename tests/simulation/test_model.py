"""The Redis of the simulation is held against a real one: the same calls, the same answers, the same keys."""

import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import pytest
from redis.exceptions import NoScriptError

from realtime.bus.redis.batches import encode_batch
from realtime.bus.redis.connections import Connections
from realtime.bus.redis.keys import log_keys, tenant_keys
from realtime.bus.redis.metrics import BusMetrics
from realtime.bus.redis.scripts import Script
from realtime.events import Text
from tests.support.redis_server import RedisServer

from .loops import World
from .lua import compiled
from .server import SCRIPTS, Server, encoded

Ask = Callable[..., Awaitable[Any]]

_STEPS = 40
_GENERATIONS = ("a" * 32, "b" * 32)
_PUBLISH = "PUBLISH"
# Fences that nobody was given: an older one, and one from a time to come.
_OTHERS = ("1000000000000003", "9000000000000009")


class Fence(NamedTuple):
    """The n-th fence that was given out, whichever that was on either side; a clock makes them."""

    number: int


class Side:
    """One of the two Redises.

    Args:
        ask: Answers a command.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._fences: list[bytes] = []

    @property
    def fences(self) -> int:
        """How many were given out."""
        return len(self._fences)

    async def run(self, script: Script, keys: tuple[str, ...], args: tuple[Any, ...]) -> Any:
        """The answer of a script, with numbers in the place of fences."""
        given = [self._fences[arg.number] if isinstance(arg, Fence) else arg for arg in args]
        answer = await self._ask("EVALSHA", script.sha, len(keys), *keys, *given)
        if isinstance(answer, NoScriptError):
            answer = await self._ask("EVAL", script.text, len(keys), *keys, *given)
        fence = answer[0] if script is SCRIPTS["take_over"] and answer else answer
        if script in {SCRIPTS["create"], SCRIPTS["take_over"]} and fence is not None and fence not in self._fences:
            self._fences.append(fence)
        return self._named(answer)

    async def kept(self, *command: str) -> Any:
        """The answer to a command; the members of a set that is sorted by a clock in the order of their names."""
        answer = self._named(await self._ask(*command))
        return sorted(answer) if command[0] == "ZRANGE" else answer

    def _named(self, answer: Any) -> Any:
        if isinstance(answer, bytes):
            for number, fence in enumerate(self._fences):
                answer = answer.replace(fence, b"fence %d" % number)
            return answer
        if isinstance(answer, dict):
            return {key: self._named(value) for key, value in answer.items()}
        if isinstance(answer, list | tuple):
            return [self._named(one) for one in answer]
        return type(answer) if isinstance(answer, Exception) else answer


def drawn_call(rng: random.Random, step: int, fences: int) -> tuple[Script, tuple[str, ...], tuple[Any, ...]]:
    """A call as the bus makes them, or as one would be that came late, twice or from nobody."""
    generation = rng.choice(_GENERATIONS)
    keys = log_keys("t", generation)
    fence = Fence(rng.randrange(fences)) if fences and rng.random() < 0.9 else rng.choice(_OTHERS)
    first, count = rng.randint(1, 8), rng.randint(0, 3)
    batch = encode_batch(first, [(0, Text("x"))] * count) if count else b""
    lease = rng.choice([-5000, 60_000])
    own, life = tenant_keys("t", "s"), 3_600_000
    key, talk = rng.choice([None, "k"]), rng.choice([None, "talk"])
    calls: dict[str, tuple[tuple[str, ...], tuple[Any, ...]]] = {
        "create": (
            (keys.meta, keys.log, keys.leases),
            (rng.choice("pq"), b"about", step, encode_batch(1, [(0, Text("x"))]), keys.member, lease, life, "claim"),
        ),
        "append": (
            (keys.log, keys.meta, keys.leases),
            (fence, first, first + count - 1, batch, generation, keys.member, rng.choice(["", lease]), life,
             rng.choice(["", "", "1"]) if count else "", _PUBLISH, keys.told, rng.choice([1, 4096]),
             rng.choice(["", "", 2])),
        ),
        "restore": (
            (keys.meta, keys.log, keys.leases), ("p", b"about", fence, "0:1", keys.member, lease, life, 0)
        ),
        "stop": (
            (keys.meta, keys.seen), ("owner", generation, _PUBLISH, keys.asked, rng.choice(["", "here", "there"]))
        ),
        "take_over": ((keys.meta, keys.leases), (keys.member, step, lease, life)),
        "present": (
            (keys.seen,),
            (rng.choice(["here", "there"]), rng.choice(["", 60_000]), rng.choice([b"", b"told"]), _PUBLISH, keys.asked),
        ),
        "claim": (
            (own.idempotency(key), own.all if talk is None else own.active(talk), own.all, own.own,
             own.all if talk is None else own.conversation(talk)),
            (generation, rng.choice([b"f", b"g"]), life, rng.randint(1, 9), rng.choice(["", "1"]),
             rng.choice(["", *_GENERATIONS]), rng.randint(0, 5)),
        ),
        "erase": ((keys.meta, keys.log, keys.seen), (life,)),
    }  # fmt: skip
    name = rng.choice([*calls, "append", "append", "append", "create"])
    return SCRIPTS[name], *calls[name]


def looks() -> list[tuple[str, ...]]:
    """What shows all that the scripts keep; of what a clock makes, who is named and not when."""
    own = tenant_keys("t", "s")
    found: list[tuple[str, ...]] = [
        ("HGETALL", own.idempotency("k")), ("GET", own.active("talk")),
        *(("ZRANGEBYSCORE", key, "-inf", "99", "WITHSCORES", "LIMIT", "0", "9")
          for key in (own.all, own.own, own.conversation("talk"))),
        ("ZREVRANGE", own.all, "0", "0"), ("ZREVRANK", own.all, _GENERATIONS[0]),
    ]  # fmt: skip
    for generation in _GENERATIONS:
        keys = log_keys("t", generation)
        found += [
            ("HGETALL", keys.meta), ("XRANGE", keys.log, "-", "+"), ("XRANGE", keys.log, "2-0", "+", "COUNT", "1"),
            ("XREVRANGE", keys.log, "+", "-", "COUNT", "1"), ("ZRANGE", keys.leases, "0", "-1"),
            ("ZRANGE", keys.seen, "0", "-1"), ("HMGET", keys.meta, "top", "stop", "none"),
        ]  # fmt: skip
    return found


async def test_the_model_is_a_redis(amount: Callable[[int, int], int]) -> None:
    """Any sequence of calls is answered alike by both, and leaves the same behind."""
    async with RedisServer() as real, AsyncExitStack() as stack:
        connections = Connections(real.url, BusMetrics(None))
        stack.push_async_callback(connections.close)

        async def ask_real(*command: Any) -> Any:
            return (await connections.all([command]))[0]

        for seed in range(amount(40, 2000)):
            rng = random.Random(seed)
            world = World(rng)
            model = Server(world, lambda *_: None, {})

            async def ask_model(*command: Any, model: Server = model) -> Any:
                return model.execute(command)

            await ask_real("FLUSHALL", "SYNC")
            sides = Side(ask_real), Side(ask_model)
            for step in range(_STEPS):
                call = drawn_call(rng, step, sides[0].fences)
                world.now += 0.01
                answers = [await side.run(*call) for side in sides]
                assert answers[0] == answers[1], f"seed {seed}, step {step}: {call[1:]}"
            for look in looks():
                there, here = [await side.kept(*look) for side in sides]
                assert there == here, f"seed {seed}: {look}"


@pytest.mark.parametrize("text", ["while true do end", "return 1 ~ 2", "local a, b = 1", "x = {", "return [[x]]"])
def test_what_is_not_known_of_lua_is_refused(text: str) -> None:
    """A script that uses more of Lua than is known here cannot run as something else."""
    with pytest.raises((SyntaxError, IndexError)):
        compiled(text)


def test_values_are_sent_as_redis_py_sends_them() -> None:
    """Numbers and text become bytes; bytes stay."""
    assert [encoded(part) for part in (1, "ä", b"x", 0.5)] == [b"1", "ä".encode(), b"x", b"0.5"]
