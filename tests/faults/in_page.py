"""Functions of `in_page.js`, called in a page in Chromium."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Page, async_playwright

from tests.browser.conftest import ARGS, CHROMIUM
from tests.support.http import PATIENCE_S

_FUNCTIONS = Path(__file__).with_name("in_page.js").read_text().strip().rstrip(";")


@asynccontextmanager
async def chromium(url: str) -> AsyncIterator[Page]:
    """A page of that origin in Chromium."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        page = await browser.new_page()
        await page.goto(url)
        yield page
        await browser.close()


async def call(page: Page, function: str, argument: Mapping[str, Any]) -> Any:
    """Call a function of `in_page.js`."""
    async with asyncio.timeout(PATIENCE_S):
        return await page.evaluate(f"(argument) => {_FUNCTIONS}.{function}(argument)", dict(argument))
