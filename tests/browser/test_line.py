"""The playground while a generation waits in line: where it stands, on every pane, and for those who listen."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from .conftest import serve
from .test_playground import CONTRAST, SAME, WIRES, chip, fill_demo, transcript

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PROVIDERS = """
[providers.demo]
kind = "demo"
max_live = 1
"""

# Keeps all that a screen reader is told.
LISTEN = """() => {
    window.heard = [];
    const region = document.getElementById("announcements");
    new MutationObserver(() => window.heard.push(region.textContent)).observe(region, { childList: true });
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with one place."""
    folder = tmp_path_factory.mktemp("line")
    (folder / "providers.toml").write_text(PROVIDERS)
    with serve(folder / "log", "--providers-file", str(folder / "providers.toml")) as url:
        yield url


@pytest.fixture
def ahead(page: Page) -> Iterator[list[str]]:
    """Two generations that were there before: one has the place, the other waits for it."""
    options = {"rate": 40, "tokens": 100_000, "seed": 7}
    started = []
    for _ in range(2):
        body = {"model": "demo/default", "prompt": "x", "options": options}
        started.append(page.request.post("/v1/generations", data=body).json()["id"])
    yield started
    for generation in started:
        stop(page, generation)


def stop(page: Page, generation: str) -> None:
    assert page.request.post(f"/v1/generations/{generation}/stop").ok


def start(page: Page) -> None:
    fill_demo(page, rate=300, tokens=50)
    page.get_by_role("button", name="Start").click()


def expect_chips(page: Page, text: str) -> None:
    expect(page.locator("#generation-state")).to_have_text(text)
    for wire in WIRES:
        expect(chip(page, wire)).to_have_text(text)


def test_every_pane_shows_the_place_in_line(page: Page, ahead: list[str]) -> None:
    """It moves up as those ahead leave, is announced each time, and is gone when its turn has come."""
    page.evaluate(f"({LISTEN})()")
    announcements = page.locator("#announcements")
    start(page)
    expect_chips(page, "2nd in line")
    tops = page.locator(".transcript").evaluate_all("all => all.map((one) => one.getBoundingClientRect().top)")
    assert len(set(tops)) == 1
    expect(announcements).to_have_text("2nd in line.")
    stop(page, ahead[1])
    expect_chips(page, "1st in line")
    expect(announcements).to_have_text("1st in line.")
    stop(page, ahead[0])
    expect(page.locator("#verdict")).to_have_text(SAME)
    expect_chips(page, "Completed")
    expect(announcements).to_have_text(re.compile("^Completed"))
    heard = page.evaluate("window.heard")
    assert heard[:3] == ["Started.", "2nd in line.", "1st in line."]
    assert set(heard[3:-1]) <= {"Its turn has come."}


def test_the_turn_is_announced(page: Page, ahead: list[str]) -> None:
    """Who listens hears that the waiting is over, and the pages say that text comes."""
    fill_demo(page, rate=40, tokens=100_000)
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#announcements")).to_have_text("2nd in line.")
    for generation in reversed(ahead):
        stop(page, generation)
    expect(page.locator("#announcements")).to_have_text("Its turn has come.")
    expect_chips(page, "Streaming")
    page.keyboard.press("Escape")
    expect_chips(page, "Stopped")


def test_a_stop_in_line_is_no_turn(page: Page, ahead: list[str]) -> None:
    """Who listens is not told that it was served, however long the last pane takes to hear of the end."""
    page.clock.install()
    start(page)
    expect(page.locator("#announcements")).to_have_text("2nd in line.")
    page.keyboard.press("Alt+3")
    expect(chip(page, "ws")).to_have_text("Cut")
    stop(page, page.url.partition("#")[2])
    expect(chip(page, "sse")).to_have_text("Stopped")
    page.clock.fast_forward(3000)
    expect(page.locator("#announcements")).to_have_text("2nd in line.")


def test_the_place_outlives_a_reload_a_cut_and_another_pace(page: Page, ahead: list[str]) -> None:
    """However a pane comes to the line, it knows the place; and the generation can be stopped there."""
    start(page)
    expect_chips(page, "2nd in line")
    page.reload()
    expect_chips(page, "2nd in line")
    page.get_by_label("Pace of these panes").select_option("20")
    expect_chips(page, "2nd in line")
    page.keyboard.press("Alt+1")
    expect(chip(page, "sse")).to_have_text("Cut")
    page.keyboard.press("Alt+1")
    expect_chips(page, "2nd in line")
    page.keyboard.press("Escape")
    expect_chips(page, "Stopped")


def test_a_line_of_the_past_is_not_announced(page: Page, ahead: list[str]) -> None:
    """Who opens a generation that once waited is told of its end alone."""
    start(page)
    expect_chips(page, "2nd in line")
    for generation in reversed(ahead):
        stop(page, generation)
    expect_chips(page, "Completed")
    page.add_init_script(f"addEventListener('DOMContentLoaded', {LISTEN})")
    page.reload()
    expect(page.locator("#announcements")).to_have_text(re.compile("^Completed"))
    assert [text.partition(".")[0] for text in page.evaluate("window.heard")] == ["Completed"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_place_has_contrast(page: Page, ahead: list[str], scheme: Any) -> None:
    """It can be read in both schemes, and fits a phone."""
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 360, "height": 800})
    start(page)
    expect_chips(page, "2nd in line")
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.keyboard.press("Escape")
    expect_chips(page, "Stopped")
    expect(transcript(page, "sse")).to_be_empty()
