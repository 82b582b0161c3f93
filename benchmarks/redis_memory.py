"""What a generation takes of Redis's memory, by how much was said; and the formula that `docs/redis.md` gives."""

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import NamedTuple

import redis

from realtime.bus.base import Claim, Writer
from realtime.bus.redis import RedisBus
from realtime.events import Attempt, Finished, Text
from realtime.log import EventLog, Meta

from .plan import Plan
from .redis_process import Redis
from .report import Check, Figure, Row, Table

# An ended generation: its hash, the head of its stream and its places in the lists; and what the stream adds to each
# batch, and to each event beside its text.
FIXED_BYTES, BATCH_BYTES, EVENT_BYTES = 5200, 34, 20

_GENERATIONS = 100
_PATIENCE_S = 30.0


class Size(NamedTuple):
    """Of one generation.

    Attributes:
        batches: Flushes that brought its content; `started`, `attempt` and `finished` come beside.
        together: Events in each.
        text_bytes: Of each event.
    """

    batches: int
    together: int
    text_bytes: int


# A slow model says a token a flush; a fast one, or one that is written behind, several.
SIZES = {
    "no content": Size(0, 0, 0),
    "100 tokens of 5 B": Size(100, 1, 5),
    "1,000 tokens of 5 B": Size(1000, 1, 5),
    "1,000 tokens of 5 B, 8 a flush": Size(125, 8, 5),
    "1,000 tokens of 50 B": Size(1000, 1, 50),
    "20 events of 10 kB": Size(20, 1, 10_000),
}


def formula_bytes(size: Size) -> int:
    """What a generation of that size is expected to take."""
    events = size.batches * size.together
    return FIXED_BYTES + BATCH_BYTES * size.batches + (EVENT_BYTES + size.text_bytes) * events


def table(plan: Plan) -> Table:
    """See the module."""
    measured: dict[str, float] = {}
    with Redis() as server:
        for name, size in plan.some(SIZES, ("no content", "100 tokens of 5 B")).items():
            plan.say(f"redis, memory: {name}")
            measured[name] = asyncio.run(measured_bytes(server.client, server.env["REALTIME_REDIS_URL"], size))
    off = {name: bytes_ / formula_bytes(SIZES[name]) for name, bytes_ in measured.items()}
    return Table(
        name="redis: memory of a generation in Redis",
        drawn="KiB/generation",
        baseline="what the formula of `docs/redis.md` says",
        rows=[Row(f"ours, {name}", off[name], _figures(SIZES[name], bytes_)) for name, bytes_ in measured.items()],
        checks=[
            Check("measured / formula, the most", max(off.values()), 1.5),
            Check("measured / formula, the least", min(off.values()), 1 / 1.5, at_most=False),
        ],
        notes=["Generations that have ended and are still kept, by the growth of `used_memory`."],
    )


def _figures(size: Size, bytes_: float) -> dict[str, Figure]:
    events = size.batches * size.together
    return {
        "KiB/generation": bytes_ / 1024,
        "B/event beside its text": (bytes_ - FIXED_BYTES) / events - size.text_bytes if events else None,
        "formula, KiB": formula_bytes(size) / 1024,
    }


async def measured_bytes(server: "redis.Redis", url: str, size: Size, generations: int = _GENERATIONS) -> float:
    """What one takes, of several that are made and ended: the growth of Redis's memory."""
    bus = RedisBus(url)
    await bus.open(_no_orphan)
    try:
        # What the first one makes is not made again.
        await _write(await _writers(bus, 1), size._replace(batches=1))
        before = _used(server)
        writers = await _writers(bus, generations)
        await _write(writers, size)
        return (_used(server) - before) / generations
    finally:
        await bus.close()


async def _writers(bus: RedisBus, count: int) -> list[Writer]:
    made = []
    for _ in range(count):
        meta = Meta(secrets.token_hex(16), "default", None, "openai", "openai/gpt", int(time.time() * 1000))
        writer = await bus.create(meta, Claim())
        assert not isinstance(writer, EventLog)
        writer.append(Attempt(1, "openai", "gpt"))
        made.append(writer)
    return made


async def _write(writers: Sequence[Writer], size: Size) -> None:
    """All of them side by side, each flush as one batch, to the end."""
    for _ in range(size.batches):
        for writer in writers:
            for _ in range(size.together):
                writer.append(Text("x" * size.text_bytes), more=True)
            writer.show()
        await _visible(writers)
    for writer in writers:
        await writer.seal(Finished("completed", "stop"))


async def _visible(writers: Sequence[Writer]) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        for writer in writers:
            while writer.log.head < writer.written[0]:
                await writer.log.wait(writer.log.head)


async def _no_orphan(writer: Writer) -> None:
    raise AssertionError(writer)


def _used(server: "redis.Redis") -> int:
    found: int = server.info("memory")["used_memory"]
    return found
