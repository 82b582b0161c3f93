"""`--workers`: several processes on one port, with one Redis between them."""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import psutil
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from realtime.server.app import Application
from realtime.server.process import create_server
from realtime.server.settings import Settings
from tests.server.running import Process, running
from tests.support.http import BrokenError, request, start, stop
from tests.support.observer import Observer
from tests.support.redis_server import RedisServer
from tests.support.server import Address

pytestmark = pytest.mark.asyncio(loop_scope="module")

_ENDLESS = {"model": "demo/default", "options": {"rate": 50, "tokens": 100_000}, "on_disconnect": "continue"}
_TWO = ("--workers", "2", "--drain-timeout-s", "0")
_PROVIDER = '[providers.{}]\nkind = "demo"\n'
_SOON_S = 40.0


class Server(NamedTuple):
    process: Process
    address: Address
    providers: Path

    @property
    def workers(self) -> list[psutil.Process]:
        """Its workers."""
        return list(psutil.Process(self.process.pid).children())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """One of two workers, for all tests that leave it as they found it."""
    providers = tmp_path_factory.mktemp("workers") / "providers.toml"
    providers.write_text(_PROVIDER.format("demo"))
    # It is killed in the end, and its temporary files stay.
    kept = {"TMPDIR": str(providers.parent)}
    async with (
        RedisServer() as redis,
        running(*_TWO, "--providers-file", str(providers), REALTIME_REDIS_URL=redis.url, **kept) as (process, address),
    ):
        yield Server(process, address, providers)


async def until(true: Callable[[], bool]) -> None:
    """Wait for what other processes do, of which nobody tells."""
    async with asyncio.timeout(_SOON_S):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def scraped(address: Address) -> Counter[str]:
    """The sum over the labels of each sample of `/metrics`."""
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families((await request(address, "GET", "/metrics")).body.decode()):
        for sample in family.samples:
            found[sample.name] += sample.value  # type: ignore[assignment]  # a sum of floats
    return found


async def scraped_by_all(address: Address) -> list[Counter[str]]:
    """As many scrapes as it takes to have been answered by everyone, as good as certainly."""
    return [await scraped(address) for _ in range(16)]


async def test_several_answer_on_one_port(server: Server) -> None:
    """Whoever takes a connection has all generations."""
    assert len(server.workers) == 2
    generations = [await start(server.address, **_ENDLESS) for _ in range(6)]
    observers = [Observer(generation) for generation in generations for _ in range(3)]
    watching = [asyncio.create_task(one.watch(server.address, "ndjson")) for one in observers]
    for one in observers:
        await one.began.wait()
    for generation in generations:
        assert (await stop(server.address, generation))["state"] in {"stopping", "finished"}
    await asyncio.gather(*watching)
    assert all(one.finished for one in observers)


async def test_a_scrape_is_of_all(server: Server) -> None:
    """Whichever process answers, it has the figures of the other too."""
    before = await scraped(server.address)
    generations = [await start(server.address, **_ENDLESS) for _ in range(4)]
    live = [each["realtime_live_generations"] for each in await scraped_by_all(server.address)]
    assert live == [before["realtime_live_generations"] + 4] * len(live)
    for generation in generations:
        await stop(server.address, generation)
    async with asyncio.timeout(_SOON_S):
        while (await scraped(server.address))["realtime_generations_total"] < before["realtime_generations_total"] + 4:
            pass
    after = [each["realtime_generations_total"] for each in await scraped_by_all(server.address)]
    assert after == [before["realtime_generations_total"] + 4] * len(after)


async def test_all_read_their_providers_again(server: Server) -> None:
    """A hangup reaches every worker, and ends none."""
    workers = server.workers
    server.providers.write_text(_PROVIDER.format("demo") + _PROVIDER.format("another"))
    server.process.signal(signal.SIGHUP)
    asked: list[bool] = []
    async with asyncio.timeout(_SOON_S):
        # So often in a row that both have answered, as good as certainly.
        while asked[-16:] != [True] * 16:
            asked.append(b"another/" in (await request(server.address, "GET", "/v1/models")).body)
    assert server.workers == workers


async def test_those_that_die_are_replaced() -> None:
    """The others serve on, and soon there are as many as before; a signal ends all of them, and with success."""
    async with RedisServer() as redis, running(*_TWO, REALTIME_REDIS_URL=redis.url) as (process, address):
        parent = psutil.Process(process.pid)
        await start(address, **_ENDLESS)
        first, second = [one.pid for one in parent.children()]
        os.kill(first, signal.SIGKILL)
        await until(lambda: len(others(parent, first)) == 2)
        for _ in range(20):
            try:
                assert (await request(address, "GET", "/livez")).status == 200
            except BrokenError:
                # One that the dead process had accepted.
                continue
        assert f"worker 0 (pid {first}) ended with -9, next in 0.2 s" in process.log
        os.kill(second, signal.SIGKILL)
        await until(lambda: len(others(parent, first, second)) == 2)
        async with asyncio.timeout(_SOON_S):
            # What was live in one of the two is not live for ever.
            while await live(address) != 0:
                pass
        workers = parent.children()
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0
        assert not any(worker.is_running() for worker in workers)


def others(parent: psutil.Process, *gone: int) -> list[int]:
    """Its children but for these."""
    return [one.pid for one in parent.children() if one.pid not in gone]


async def live(address: Address) -> float | None:
    """What a scrape says of generations that are driven; None where whoever accepted it has died."""
    try:
        return (await scraped(address))["realtime_live_generations"]
    except BrokenError:
        return None


async def test_they_end_with_their_parent(tmp_path: Path) -> None:
    """Where whoever looks after them is killed, they end too, and in order; what it left the next one removes."""
    env = {"TMPDIR": str(tmp_path)}
    async with RedisServer() as redis, running(*_TWO, REALTIME_REDIS_URL=redis.url, **env) as (process, address):
        workers = psutil.Process(process.pid).children()
        await until(lambda: process.log.count("Application startup complete") == len(workers))
        process.signal(signal.SIGKILL)
        await until(lambda: not any(worker.is_running() for worker in workers))
        assert await process.ended() == -signal.SIGKILL
        for worker in workers:
            assert f"SIGTERM: draining pid={worker.pid}" in process.log
        with pytest.raises(BrokenError):
            await request(address, "GET", "/livez")
        (left,) = folders(tmp_path)
        async with running(*_TWO, REALTIME_REDIS_URL=redis.url, **env) as (second, _):
            (own,) = folders(tmp_path)
            assert own != left
            second.signal()
            assert await second.ended() == 0
    assert folders(tmp_path) == set()


def folders(place: Path) -> set[Path]:
    """Those of metrics that are there."""
    return set(place.glob("realtime-*"))


async def test_a_setting_that_will_not_do_ends_all(tmp_path: Path) -> None:
    """It is said, and nobody is started again to say it again."""
    (tmp_path / "providers.toml").write_text("[providers.demo]\nkind = 'nonsense'\n")
    async with RedisServer() as redis:
        code, said = await refused(*_TWO, "--providers-file", str(tmp_path / "providers.toml"), url=redis.url)
    assert code == 2
    assert "providers_file" in said
    assert "next in" not in said


@pytest.mark.parametrize("flags", [(), _TWO])
async def test_a_redis_that_is_away_at_the_start_ends_all(flags: tuple[str, ...]) -> None:
    """It is said once and in a line, without the password; nobody is started, or started again."""
    code, said = await refused(*flags, url="redis://realtime:s3cret@127.0.0.1:1/0")
    assert code == 1
    assert said == "error: REALTIME_REDIS_URL: 127.0.0.1:1: the connection is refused.\n"


@pytest.mark.parametrize("url", ["redis://:s3#cret@127.0.0.1", "redis://127.0.0.1:1/0?s3cret=1"])
async def test_an_address_that_cannot_be_read_is_refused(url: str) -> None:
    """As a setting is, and nothing of it is repeated."""
    code, said = await refused(url=url)
    assert code == 2
    assert said.startswith("error: REALTIME_REDIS_URL: A port or an option is wrong")
    assert said.count("\n") == 1
    assert "s3" not in said


async def refused(*flags: str, url: str) -> tuple[int | None, str]:
    """The code and the words of a server that ends as it is started."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "realtime", "serve", "--port", "0", *flags),
        env={**os.environ, "REALTIME_REDIS_URL": url},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, said = await asyncio.wait_for(process.communicate(), _SOON_S)
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode, said.decode()


async def test_one_that_is_to_be_replaced_waits_for_redis() -> None:
    """Where it is away only then the others are not ended, and when it is back there are as many as before."""
    async with RedisServer() as redis, running(*_TWO, REALTIME_REDIS_URL=redis.url) as (process, _):
        parent = psutil.Process(process.pid)
        pids = [one.pid for one in parent.children()]
        await until(lambda: process.log.count("Application startup complete") == len(pids))
        await redis.kill()
        os.kill(pids[0], signal.SIGKILL)
        await until(lambda: "ended with 1, next in" in process.log)
        assert f"error: REALTIME_REDIS_URL: 127.0.0.1:{redis.port}: the connection is refused.\n" in process.log
        assert "Traceback" not in process.log
        await redis.start()
        await until(lambda: process.log.count("Application startup complete") == len(pids) + 1)
        assert pids[1] in [one.pid for one in parent.children()]


async def test_a_signal_that_is_sent_to_all_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal tells the parent and the workers, and the parent tells the workers: that is no second wish."""
    settings: dict[str, Any] = {"workers": 2, "redis_url": "redis://127.0.0.1:1/0", "demo": True}
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr("realtime.server.draining.time", SimpleNamespace(monotonic=lambda: clock.now))
    worker = create_server(Application(Settings(**settings), env={}))
    worker.handle_exit(signal.SIGINT, None)
    clock.now += 0.5
    worker.handle_exit(signal.SIGINT, None)
    assert worker.should_exit
    assert not worker._hurry.is_set()
    clock.now += 5
    worker.handle_exit(signal.SIGINT, None)
    assert worker._hurry.is_set()


# Workers that do something else than to serve. Of what they print each is a line.
_SCRIPT = """
import logging, os, signal, sys
from realtime.server import workers
logging.basicConfig(stream=sys.stdout, format="%(message)s", level="ERROR")
{}
sys.exit(workers.Workers(1, work, lambda pid: print("ended", flush=True)).run())
"""
_DIES = "def work(number): os._exit(7)"
_WAITS_LONG = "workers._PAUSE_S = workers._LONGEST_PAUSE_S = 600.0\n" + _DIES
_STAYS = """
def work(number):
    signal.signal(signal.SIGTERM, lambda *_: os._exit(5))
    print("here", flush=True)
    while True:
        signal.pause()
"""
_PAUSES = """
def work(number):
    print("here", os.getpid(), flush=True)
    signal.pause()
"""


class Script:
    """A parent of one worker that does this."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def run(cls, work: str) -> "Script":
        """Start it."""
        command = (sys.executable, "-c", _SCRIPT.format(work))
        return cls(await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE))

    async def line(self, word: str) -> str:
        """The next line with that word."""
        assert self.process.stdout is not None
        async with asyncio.timeout(_SOON_S):
            while word not in (line := (await self.process.stdout.readline()).decode()):
                assert line, f"it has ended without {word!r}"
        return line

    async def told(self, *signals: signal.Signals) -> int:
        """Send it these; its exit code."""
        for each in signals:
            self.process.send_signal(each)
        _, code = await asyncio.wait_for(asyncio.gather(self.process.communicate(), self.process.wait()), _SOON_S)
        return code


async def test_one_that_dies_at_once_is_started_ever_more_slowly() -> None:
    """So that a mistake is no storm of processes."""
    script = await Script.run(_DIES)
    lines = [await script.line("next in") for _ in range(4)]
    assert [line.rpartition("next in ")[2].strip() for line in lines] == ["0.2 s", "0.4 s", "0.8 s", "1.6 s"]
    assert await script.told(signal.SIGTERM) == 0


async def test_a_pause_is_not_waited_for() -> None:
    """Whoever is told to end while nobody runs ends at once."""
    script = await Script.run(_WAITS_LONG)
    assert "next in 600 s" in await script.line("next in")
    assert await script.told(signal.SIGINT) == 0


async def test_a_hangup_ends_nobody_who_does_not_listen() -> None:
    """It is about a file to be read; and what a worker ends with is what all of it ends with."""
    script = await Script.run(_STAYS)
    await script.line("here")
    assert await script.told(signal.SIGHUP, signal.SIGTERM) == 5


async def test_a_hangup_is_no_end() -> None:
    """Whoever dies after it is replaced as before."""
    script = await Script.run(_PAUSES)
    pid = int((await script.line("here")).split()[1])
    script.process.send_signal(signal.SIGHUP)
    os.kill(pid, signal.SIGKILL)
    await script.line(f"worker 0 (pid {pid}) ended with -9")
    assert int((await script.line("here")).split()[1]) != pid
    assert await script.told(signal.SIGTERM) == 0


async def test_one_that_cannot_hear_yet_has_ended_well() -> None:
    """A signal that comes before a worker serves ends it on the spot, as it was meant to."""
    script = await Script.run(_PAUSES)
    await script.line("here")
    assert await script.told(signal.SIGTERM) == 0
