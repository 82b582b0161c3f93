"""A real server in a process of its own, and a real browser in front of it."""

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Dialog, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
# No sandbox, as tests may run as root; nothing that calls home.
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
READY_S = 30.0
LOOK_AGAIN_S = 0.05


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=1) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


@contextmanager
def serve(log: Path, *flags: str, **variables: str) -> Iterator[str]:
    """Run `realtime serve` with these flags and variables, until the block is left; its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "realtime", "serve", "--port", str(port), "--drain-timeout-s", "0", *flags]
        env = {**os.environ, **variables}
        process = subprocess.Popen(command, env=env, stdout=output, stderr=subprocess.STDOUT)
        try:
            for _ in range(round(READY_S / LOOK_AGAIN_S)):
                if _is_ready(url):
                    break
                try:
                    process.wait(LOOK_AGAIN_S)
                except subprocess.TimeoutExpired:
                    continue
                pytest.fail(log.read_text())
            yield url
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `realtime serve`, with the demo provider."""
    with serve(tmp_path_factory.mktemp("server") / "log") as url:
        yield url


# Per module and not per session: while Playwright's synchronous API is in use no asyncio test can run.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield chromium
        chromium.close()


@pytest.fixture
def complaints() -> list[str]:
    """What a page complained of; a test that provokes a complaint takes it out."""
    return []


@contextmanager
def playground(browser: Browser, server: str, complaints: list[str], at: str = "/") -> Iterator[Page]:
    """The playground in a browser of its own, and what it complains of."""
    context = browser.new_context(base_url=server, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)

    def dismiss(dialog: Dialog) -> None:
        complaints.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    page.goto(at)
    page.locator("#model option[value='demo/reasoning']").wait_for(state="attached")
    yield page
    context.close()


@pytest.fixture
def page(browser: Browser, server: str, complaints: list[str]) -> Iterator[Page]:
    """The playground, which may end with no error in its console, no exception, no dialog and no CSP violation."""
    with playground(browser, server, complaints) as page:
        yield page
    assert complaints == []
