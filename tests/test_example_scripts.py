"""The examples that are processes, pages and configurations, run as their readers run them."""

import asyncio
import json
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.async_api import async_playwright, expect

from realtime.principal import ANONYMOUS
from tests.browser.conftest import ARGS, CHROMIUM
from tests.support.http import PATIENCE_S
from tests.support.server import serving

EXAMPLES = Path(__file__).parents[1] / "examples"
PIPE = asyncio.subprocess.PIPE
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin:/opt/homebrew/bin")


@asynccontextmanager
async def running(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that does not outlive the block."""
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def own_app() -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """`python examples/own_app.py` on a free port, and where it answers."""
    async with running(sys.executable, "-W", "error", str(EXAMPLES / "own_app.py"), "0") as process:
        assert process.stderr is not None
        async with asyncio.timeout(PATIENCE_S):
            while "running on" not in (line := (await process.stderr.readline()).decode()):
                assert line, "it ended"
        yield process, line.split("running on ")[1].split()[0]


async def test_sigterm_waits() -> None:
    """After SIGTERM the app lets what runs finish, observed to its end, settles it, and exits with 0."""
    body = {"model": "agent/default", "prompt": "Oslo", "options": {"days": 20}}
    headers = {"Authorization": "Bearer alice-key", "Accept": "application/x-ndjson"}
    async with own_app() as (process, url), httpx2.AsyncClient(base_url=url, timeout=PATIENCE_S) as http:
        async with http.stream("POST", "/ai/v1/generations", json=body, headers=headers) as response:
            event: dict[str, Any] = {}
            async for line in response.aiter_lines():
                event = json.loads(line)
                if event["type"] == "data":
                    process.send_signal(signal.SIGTERM)
        assert (event["type"], event["outcome"]) == ("finished", "completed")
        output, errors = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert process.returncode == 0, errors
    assert output.startswith(b"alice agent completed: 'Let me look. Day 1")


@pytest.mark.browser
async def test_page() -> None:
    """The page starts a generation, shows it as text as it comes, stops it, and says how it ended."""
    async with own_app() as (_, url), async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        page = await browser.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        # It has no icon, and a browser asks for one.
        await page.route("**/favicon.ico", lambda route: route.fulfill(status=204))
        await page.goto(url)
        await page.get_by_label("City").fill("<b>Oslo</b>")
        await page.get_by_label("Days").fill("1000000")
        await page.get_by_role("button", name="Start").click()
        await expect(page.locator("#answer")).to_contain_text("Let me look. Day 1: clear.")
        await page.get_by_role("button", name="Stop").click()
        await expect(page.get_by_role("status")).to_have_text("stopped")
        await page.get_by_label("Days").fill("2")
        await page.get_by_role("button", name="Start").click()
        await expect(page.get_by_role("status")).to_have_text("completed")
        await expect(page.locator("#answer")).to_have_text("Let me look. Day 1: clear. Day 2: clear. ")
        await browser.close()
    assert complaints == []


async def test_batch() -> None:
    """Each line of the input is answered by one line of JSON, and a second run is given the same answers."""
    batches = []
    async with serving() as server:
        for _ in range(2):
            command = [sys.executable, "-W", "error", str(EXAMPLES / "batch.py"), server.url, "demo/default"]
            async with running(*command) as process:
                output, errors = await asyncio.wait_for(process.communicate(b"One?\n\nTwo?\n"), PATIENCE_S)
                assert process.returncode == 0, errors
            answers = [json.loads(line) for line in output.splitlines()]
            batches.append({answer.pop("prompt"): answer for answer in answers})
        assert len((await server.sessions.page(ANONYMOUS, None, 10)).logs) == 2
    assert batches[0] == batches[1]
    assert {prompt: answer["outcome"] for prompt, answer in batches[0].items()} == dict.fromkeys(
        ("One?", "Two?"), "completed"
    )


@asynccontextmanager
async def nginx(folder: Path, upstream: str) -> AsyncIterator[str]:
    """nginx with the snippet in front of `upstream`, and where it listens."""
    assert NGINX is not None
    with socket.create_server(("127.0.0.1", 0)) as sock:
        address = f"127.0.0.1:{sock.getsockname()[1]}"
    snippet = (EXAMPLES / "nginx.conf").read_text()
    assert "127.0.0.1:8000;" in snippet
    assert "127.0.0.1:8080;" in snippet
    snippet = snippet.replace("127.0.0.1:8000", upstream).replace("127.0.0.1:8080", address)
    paths = " ".join(f"{kind}_temp_path {folder};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config = folder / "nginx.conf"
    config.write_text(f"daemon off; pid {folder}/pid; events {{}} http {{ access_log off; {paths}\n{snippet} }}")
    async with running(NGINX, "-p", str(folder), "-e", "stderr", "-c", str(config)) as process:
        async with asyncio.timeout(PATIENCE_S):
            while not await _listens(address):
                assert process.returncode is None
        try:
            yield f"http://{address}"
        finally:
            process.terminate()
            await process.wait()


async def _listens(address: str) -> bool:
    try:
        _, writer = await asyncio.open_connection(*address.split(":"))
    except ConnectionRefusedError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
@pytest.mark.parametrize("wire", ["sse", "ndjson"])
async def test_nginx_passes_tokens_on(tmp_path: Path, wire: str) -> None:
    """Behind nginx tokens come while the generation runs, to a page of its host, and a stop finds its way."""
    body = {"model": "demo/default", "prompt": "Hello", "options": {"tokens": 200_000, "rate": 20}}
    async with (
        serving() as server,
        nginx(tmp_path, f"127.0.0.1:{server.address.port}") as url,
        httpx2.AsyncClient(base_url=url, headers={"Origin": url}, timeout=PATIENCE_S) as http,
    ):
        links = (await http.post("/v1/generations", json=body)).json()["links"]
        seen = ""
        async with http.stream("GET", f"{links['events']}?wire={wire}") as response:
            async for text in response.aiter_text():
                seen += text
                if '"type":"text"' in text and "asked" not in seen:
                    await http.post(links["stop"])
                    seen += "asked"
        assert '"outcome":"stopped"' in seen
