"""Two workers and the Redis between them, in all the ways in which that can fail, and observers who are judged."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NamedTuple

import redis.asyncio as aioredis

from realtime.bus.redis.keys import LogKeys, log_keys
from realtime.principal import ANONYMOUS
from tests.history.checker import check
from tests.history.rows import Row
from tests.server.running import Worker, running_all
from tests.support.eventually import eventually
from tests.support.http import BrokenError, Response, request
from tests.support.link import Link
from tests.support.observer import Observer
from tests.support.parsers import Frame
from tests.support.raw import WIRES, WireName
from tests.support.redis_server import RedisServer
from tests.support.server import Address

# A client that was refused, or found nobody, comes again after a moment.
_BACK_OFF_S = 0.1
# Not a bound of the product: after so long nothing will come any more.
OVER_S = 60.0


def workers(*urls: str) -> AbstractAsyncContextManager[list[Worker]]:
    """A worker for each way to Redis."""
    return running_all(*({"REALTIME_REDIS_URL": url} for url in urls))


class Replicated(NamedTuple):
    """A master, its replica, the link between the two, and a Sentinel that makes a master of the replica."""

    master: RedisServer
    replica: RedisServer
    link: Link
    url: str

    async def fail_over(self, *, dies: bool = True) -> None:
        """The master dies or stands still, and with it all that the replica has not been told."""
        if dies:
            await self.master.kill()
        else:
            self.master.pause()
        await self.link.cut()


@asynccontextmanager
async def replicated() -> AsyncIterator[Replicated]:
    """All of them, and the replica up to date."""
    async with (
        RedisServer("--repl-diskless-sync-delay", "0") as master,
        Link(master.port) as link,
        RedisServer("--replicaof", "127.0.0.1", str(link.port)) as replica,
        RedisServer(sentinel_of=master.port) as sentinel,
    ):
        async with sentinel.client() as asked, replica.client() as watched:
            await asked.execute_command("SENTINEL", "SET", "main", "down-after-milliseconds", "1000")  # type: ignore[no-untyped-call]

            async def known() -> bool:
                return bool(await asked.execute_command("SENTINEL", "REPLICAS", "main"))  # type: ignore[no-untyped-call]

            async def up_to_date() -> bool:
                return (await watched.info("replication")).get("master_link_status") == "up"

            await eventually(up_to_date, "the replica hears its master")
            await eventually(known, "the Sentinel knows of the replica", timeout_s=40.0)
        yield Replicated(master, replica, link, f"redis+sentinel://127.0.0.1:{sentinel.port}/main/0")


class Client(Observer):
    """An observer that leaves when it is asked to: a socket would stay open, for the sake of what else it carries."""

    def _accept(self, frame: Frame) -> None:
        super()._accept(frame)
        if frame.value["type"] == "bye":
            raise BrokenError


class Watching:
    """Observers of one generation or of several, in every worker, on every wire by turns.

    Attributes:
        observers: All of them.
    """

    def __init__(self) -> None:
        self.observers: list[Client] = []
        self._rows: list[Row] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def begin(self, generation: str, *places: Sequence[Worker]) -> None:
        """Observe it from each of these places; at another of the same when the one does not answer.

        Returns when all are attached.
        """
        begun = []
        for place in places:
            number = len(self.observers)
            observer = Client(generation, f"observer {number}", self._rows)
            self.observers.append(observer)
            begun.append(observer)
            wire = WIRES[number % len(WIRES)]
            self._tasks.append(asyncio.create_task(follow(observer, [one.address for one in place], wire)))
        for observer in begun:
            await observer.began.wait()

    def counts(self) -> list[int]:
        """How many events each has."""
        return [len(observer.frames) for observer in self.observers]

    async def got_on(self, since: Sequence[int], by: int = 1, *, timeout_s: float = 30.0) -> float:
        """Wait until each has so many events more than it had, or the end; seconds that it took."""

        async def look() -> bool:
            pairs = zip(self.observers, since, strict=True)
            return all(one.finished or len(one.frames) >= count + by for one, count in pairs)

        return await eventually(look, f"{by} events more for each, from {since}", timeout_s=timeout_s)

    async def over(self) -> None:
        """Wait until every observer has an end, and judge what they saw."""
        async with asyncio.timeout(OVER_S):
            await asyncio.gather(*self._tasks)
        assert check(self._rows, ledger=False) == []
        for observer in self.observers:
            numbers = [str(event["id"]).rpartition("-")[2] for event in observer.events]
            assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
            first = next(one for one in self.observers if one.generation == observer.generation)
            assert observer.events == first.events

    def of(self, generation: str) -> Client:
        """One of those who observe it."""
        return next(one for one in self.observers if one.generation == generation)


async def follow(observer: Client, addresses: Sequence[Address], wire: WireName) -> None:
    """Observe to the end. Who is asked to comes again; who finds nobody goes elsewhere."""
    at = 0
    while not observer.finished:
        try:
            end = await observer.watch(addresses[at % len(addresses)], wire)
        except TimeoutError:
            # The observer's own patience, which is that of a connection.
            continue
        if end.error is not None:
            assert end.error["code"] in {"bus_unavailable", "bus_full"}, end
        if end.why == "cut" and not end.status:
            at += 1
        if not observer.finished:
            await asyncio.sleep(_BACK_OFF_S)


async def read(address: Address, generation: str) -> Client:
    """One who comes late, and stays to the end."""
    late = Client(generation, "late")
    async with asyncio.timeout(OVER_S):
        await follow(late, [address], "ndjson")
    return late


def keys(generation: str) -> LogKeys:
    """Where it is in Redis."""
    return log_keys(ANONYMOUS.tenant, generation)


async def field(client: "aioredis.Redis", generation: str, name: str) -> bytes | None:
    """What Redis has in the meta of a log."""
    value: Any = await client.hget(keys(generation).meta, name)
    return value if value is None else bytes(value)


async def readiness(address: Address) -> int:
    """The status of `/readyz`."""
    return (await request(address, "GET", "/readyz")).status


async def becomes(address: Address, status: int, *, timeout_s: float = 30.0) -> float:
    """Wait until `/readyz` has that status; seconds that it took."""

    async def look() -> bool:
        return await readiness(address) == status

    return await eventually(look, f"/readyz is {status}", timeout_s=timeout_s)


async def try_start(address: Address, **body: Any) -> Response:
    """Ask for a generation, whatever is answered."""
    return await request(address, "POST", "/v1/generations", {"model": "demo/default", "prompt": "x", **body})


def said(rate: float, tokens: int) -> dict[str, Any]:
    """What starts a generation that says so much so fast, whoever watches."""
    return {"model": "demo/default", "options": {"rate": rate, "tokens": tokens}, "on_disconnect": "continue"}
