"""The two clients that are shipped leave and come back at random, and are judged by the same history as the server."""

import asyncio
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.history.rows import Close, Open, Received, Reset, canonical
from transports.client import Client

from .client_observer import ClientObserver, place
from .ground import Ground, each, walking

Amount = Callable[[int, int], int]

NODE = shutil.which("node")
# What browsers have and Node 20 hides.
_FLAGS = ("--experimental-websocket", "--experimental-eventsource")
_SCRIPT = Path(__file__).with_name("resume_points.mjs")
_SCRIPT_READERS = 16

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


async def test_python(amount: Amount) -> None:
    """With both codecs: cut by the network, left for another client, cancelled in a wait, its wire changed."""
    followers: list[tuple[str, ClientObserver]] = []
    async with (
        walking() as ground,
        Client(ground.server.url, jitter=lambda: 0.0, give_up_s=20.0) as plain,
        Client(ground.cut.url, jitter=lambda: 0.0, give_up_s=20.0) as cut,
        Client(ground.cut.url, codec="msgpack", jitter=lambda: 0.0, give_up_s=20.0) as packed,
    ):

        async def walk(generation: str, number: int) -> int:
            observer = ClientObserver(generation, f"client {number}", ground.rows, ground.rng)
            await observer.follow([plain, cut, packed], ground.rng.randint(1, 4))
            followers.append((generation, observer))
            return observer.breaks

        async for whole in ground.rounds(amount(500, 3_000), each(walk)):
            for generation, observer in followers:
                assert observer.resets == 0
                assert observer.values == [canonical(event) for event in whole[generation].events]
            followers.clear()


@pytest.mark.skipif(NODE is None, reason="needs Node")
async def test_javascript(amount: Amount) -> None:
    """In Node: cut by the network, left for another client, disconnected and brought back, its wire changed."""
    values: dict[tuple[str, str], list[str]] = {}
    async with walking() as ground:

        async def walk(generations: list[str]) -> int:
            rows = list(script_rows(await run_script(ground, generations)))
            assert not any(isinstance(row, Reset) for row in rows)
            connected: set[tuple[str, str]] = set()
            for row in rows:
                key = row.generation, row.observer
                if isinstance(row, Received):
                    assert key in connected, f"{row} was handed on after it had left"
                    values.setdefault(key, []).append(row.value)
                elif isinstance(row, Open):
                    connected.add(key)
                else:
                    connected.discard(key)
            ground.rows.extend(rows)
            return sum(isinstance(row, Close) and row.reason != "ended" for row in rows)

        async for whole in ground.rounds(amount(150, 1_000), walk):
            assert len(values) == len(whole) * _SCRIPT_READERS
            for (generation, _), seen in values.items():
                assert seen == [canonical(event) for event in whole[generation].events]
            values.clear()


async def run_script(ground: Ground, generations: list[str]) -> list[dict[str, Any]]:
    """Have the script's readers walk over these generations; what they say."""
    assert NODE is not None
    seed = ground.rng.randrange(2**31)
    arguments = [ground.server.url, ground.cut.url, str(seed), str(_SCRIPT_READERS), *generations]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(NODE, *_FLAGS, str(_SCRIPT), *arguments, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(60):
            output, complaints = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, complaints.decode()
    *said, last = (json.loads(line) for line in output.splitlines())
    assert last == {"row": "over"}
    return said


def script_rows(said: Iterable[dict[str, Any]]) -> Iterator[Open | Received | Reset | Close]:
    """What the script said, as rows."""
    for one in said:
        observer, conn, generation = one["observer"], one["conn"], one["generation"]
        match one["row"]:
            case "open":
                yield Open(observer, conn, generation, place(one["cursor"]))
            case "received":
                event = one["event"]
                epoch, _, seq = event["id"].rpartition("-")
                terminal = event["type"] == "finished"
                yield Received(observer, conn, generation, epoch, int(seq), canonical(event), terminal)
            case "reset":
                yield Reset(observer, conn, generation, one["reason"])
            case "close":
                yield Close(observer, conn, generation, one["reason"])
