"""The playground in front of two workers: one generation, whose panes are at different processes, and are the same."""

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest
import redis
from playwright.sync_api import Browser, Page, expect

from .conftest import LOOK_AGAIN_S, READY_S, free_port, playground, serve
from .test_playground import SAME, WIRES, at_least, button, chip, resource, start, texts, transcript

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ENDLESS = {"rate": 40, "tokens": 20_000, "seed": 7}
# Of two fair workers one alone has all panes of so many pages less than once in a hundred thousand times.
MOST_PAGES = 6


def until(true: Callable[[], bool], look_again: Callable[[float], object] = time.sleep) -> None:
    """Look until it is so, for as long as a server may take to be ready."""
    deadline = time.monotonic() + READY_S
    while not true():
        assert time.monotonic() < deadline
        look_again(LOOK_AGAIN_S)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of two workers, with a Redis between them."""
    folder, port = tmp_path_factory.mktemp("workers"), free_port()
    with (folder / "redis").open("wb") as output:
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        with redis.Redis(port=port) as client:
            until(lambda: _answers(client))
        with serve(folder / "log", "--workers", "2", REALTIME_REDIS_URL=f"redis://127.0.0.1:{port}/0") as url:
            until(lambda: _all_serve(folder / "log"))
            yield url
    finally:
        process.kill()
        process.wait()


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def _all_serve(log: Path) -> bool:
    return log.read_text().count("Application startup complete") == 2


def connections(url: str) -> Counter[int]:
    """How many connections each process of the server has."""
    port, found = int(url.rpartition(":")[2]), Counter[int]()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            found[process.pid] += sum(
                each.laddr.port == port and each.status == psutil.CONN_ESTABLISHED for each in process.net_connections()
            )
    return +found


def only_panes(pages: list[Page], url: str) -> Counter[int]:
    """The same, once every connection is that of a pane: what else a page asks for is over, and let go of when idle."""
    until(lambda: connections(url).total() == len(pages) * len(WIRES), lambda s: pages[0].wait_for_timeout(1000 * s))
    return connections(url)


def test_panes_of_two_workers_are_the_same(browser: Browser, server: str, complaints: list[str]) -> None:
    """What one worker drives is on the panes of both, is found by a reload, and is stopped from any pane on all."""
    with ExitStack() as stack:
        pages = [stack.enter_context(playground(browser, server, complaints))]
        generation = start(pages[0], **ENDLESS)
        workers: Counter[int] = Counter()
        while len(workers) < 2 and len(pages) < MOST_PAGES:
            pages.append(stack.enter_context(playground(browser, server, complaints, f"/#{generation}")))
            for wire in WIRES:
                expect(transcript(pages[-1], wire)).to_have_text(at_least(1))
            workers = only_panes(pages, server)
        assert len(workers) == 2, workers

        before = transcript(pages[0], "sse").text_content() or ""
        pages[0].reload()
        for wire in WIRES:
            expect(transcript(pages[0], wire)).to_have_text(at_least(len(before) + 100))
            assert (transcript(pages[0], wire).text_content() or "").startswith(before)

        button(pages[-1], "ndjson", "Stop").click()
        for page in pages:
            for wire in WIRES:
                expect(chip(page, wire)).to_have_text("Stopped")
            expect(page.locator("#verdict")).to_have_text(SAME)
            assert texts(page) == [resource(page, generation)["message"]["text"]] * 3
    assert complaints == []
