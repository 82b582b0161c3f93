"""What README and docs show is run, against a real server, exactly as it is written."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import async_playwright

from realtime import Prompt, SessionManager
from realtime.log import MAX_EVENTS
from realtime.providers.generator import GeneratorProvider
from realtime.server.parameters import MAX_WAIT_S
from realtime.server.resources import MAX_PREFER_WAIT_S
from transports.observations import MAX_OBSERVATIONS

from .make_settings_page import PAGE, page
from .support.server import RunningServer, serving

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CHROMIUM = "/usr/bin/chromium"


def snippet(name: str, text: str = README) -> str:
    """The code block after `<!-- test: name -->`."""
    found = re.search(rf"<!-- test: {name} -->\n```\w+\n(.*?)```", text, re.DOTALL)
    assert found is not None, f"there is no snippet {name}"
    return found[1]


async def run(server: RunningServer, *command: str) -> str:
    """Run a program to its end; its output."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=ROOT
    )
    out, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors.decode()
    return out.decode()


def at(server: RunningServer, code: str) -> str:
    """Code whose server is where this test's is, with the demo provider in a hurry."""
    return code.replace("http://127.0.0.1:8000", server.url)


async def test_the_curl_lines_work() -> None:
    """The text, five lines of NDJSON, and the answer to a stop."""
    async with serving() as server:
        out = await run(
            server,
            "bash",
            "-euo",
            "pipefail",
            "-c",
            at(server, snippet("curl")).replace("| head -n 5", "| sed -n 1,5p"),
        )
    assert "Why resume a stream" in out
    assert '"type":"position"' in out
    assert '"type":"attempt"' in out
    assert '"state":"finished"' in out


async def test_the_python_lines_work() -> None:
    """They print the answer and its usage."""
    async with serving() as server:
        out = await run(server, sys.executable, "-W", "error", "-c", at(server, snippet("python")))
    assert "Why resume a stream" in out
    assert "output_tokens=" in out


@pytest.mark.browser
async def test_the_browser_lines_work() -> None:
    """In a page of this server, under its own content security policy."""
    async with serving() as server, async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        page = await browser.new_page()
        await page.goto(f"{server.url}/docs")
        await page.evaluate("code => import('/assets/client.js').then(() => { document.body.textContent = '' })", "")
        body = snippet("browser").replace(
            'import { Realtime } from "/assets/client.js";', 'const { Realtime } = await import("/assets/client.js");'
        )
        await page.evaluate(f"(async () => {{ {body} }})()")
        text = await page.inner_text("body")
        await browser.close()
    assert "Why resume a stream" in text


async def test_the_library_lines_make_an_app() -> None:
    """They import, and the agent answers below the prefix."""
    names: dict[str, object] = {}
    exec(compile(snippet("library"), "README.md", "exec"), names)
    app = names["app"]
    sent: list[dict[str, object]] = []
    body = b'{"model":"agent/default","prompt":"x"}'
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/ai/v1/generations",
        "raw_path": b"/ai/v1/generations",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"prefer", b"wait=20")],
    }

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    assert callable(app)
    await app(scope, receive, send)
    assert sent[0]["status"] == 201
    assert b'"text":"Looking that up. Here it is."' in bytes(sent[1]["body"])  # type: ignore[call-overload]


async def test_the_lines_that_observe_without_http() -> None:
    """The function of docs/library.md gives the whole text of what an agent said."""

    async def agent(prompt: Prompt) -> AsyncIterator[str]:
        for word in ("You ", "said ", str(prompt.messages[0].content)):
            yield word

    names: dict[str, Any] = {}
    exec(compile(snippet("observing", (ROOT / "docs" / "library.md").read_text()), "library.md", "exec"), names)
    sessions = SessionManager({"agent": GeneratorProvider(agent)})
    try:
        assert await asyncio.wait_for(names["answer"](sessions, "so."), 20) == "You said so."
    finally:
        await sessions.close()


def test_the_constants_are_as_the_readme_has_them() -> None:
    """The bounds that are no settings are named with their values."""
    limits = README.partition("## Limits")[2]
    assert f"{MAX_EVENTS:,}\nevents in a log" in limits
    assert f"{MAX_OBSERVATIONS} observations on a socket" in limits
    assert f"{MAX_PREFER_WAIT_S} s of `Prefer: wait`" in limits
    assert f"{MAX_WAIT_S} s of `?wait`" in limits


def test_every_link_leads_somewhere() -> None:
    """Relative links of every page point at files that are there."""
    pages = [ROOT / "README.md", ROOT / "transports" / "PROTOCOL.md", ROOT / "benchmarks" / "README.md"]
    pages += sorted((ROOT / "docs").glob("*.md"))
    for source in pages:
        for target in re.findall(r"\]\(([^)#]+)", source.read_text()):
            if "://" not in target:
                assert (source.parent / target).exists(), f"{source.name}: {target}"


def test_the_settings_page_is_what_the_settings_are() -> None:
    """docs/settings.md is written from the code: `python -m tests.make_settings_page`."""
    assert PAGE.read_text() == page()
