"""The playground in a browser: three wires, one text, and what a person does to them."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WIRES = ("sse", "ndjson", "ws")
SAME = re.compile(r"^All three wires showed the same [\d,]+ characters\.$")
# Long enough to do something to it, and stopped by its server soon after a test that left it running.
ENDLESS = {"rate": 40, "tokens": 2000, "seed": 7}


def pane(page: Page, wire: str) -> Locator:
    return page.locator(f".pane[data-wire={wire}]")


def transcript(page: Page, wire: str) -> Locator:
    return pane(page, wire).locator(".transcript")


def chip(page: Page, wire: str) -> Locator:
    return pane(page, wire).locator("header .chip")


def button(page: Page, wire: str, name: str) -> Locator:
    return pane(page, wire).get_by_role("button", name=name, exact=True)


def at_least(characters: int) -> re.Pattern[str]:
    return re.compile(rf"[\s\S]{{{characters}}}")


def fill_demo(page: Page, **options: object) -> None:
    page.locator("#demo").evaluate("details => { details.open = true }")
    for name, value in options.items():
        control = page.locator(f"#demo-{name.replace('_', '-')}")
        if value is True:
            control.check()
        elif name == "fault":
            control.select_option(str(value))
        else:
            control.fill(str(value))


def start(page: Page, **options: object) -> str:
    """Start with these demo options; the id, once text is on every pane."""
    fill_demo(page, **options)
    page.get_by_role("button", name="Start").click()
    for wire in WIRES:
        expect(transcript(page, wire)).to_have_text(at_least(1))
    return page.url.partition("#")[2]


def resource(page: Page, generation: str) -> Any:
    return json.loads(page.request.get(f"/v1/generations/{generation}").text())


def texts(page: Page) -> list[str | None]:
    return [transcript(page, wire).text_content() for wire in WIRES]


def test_three_panes_show_the_same_text(page: Page) -> None:
    """All wires end with the text that the server has, and the page says so."""
    generation = start(page, rate=300, tokens=150)
    expect(page.locator("#verdict")).to_have_text(SAME)
    assert texts(page) == [resource(page, generation)["message"]["text"]] * 3
    for wire in WIRES:
        expect(chip(page, wire)).to_have_text("Completed")
        expect(pane(page, wire).locator(".outcome")).to_contain_text("150 out")


def test_reasoning_and_tool_calls_are_told_apart(page: Page) -> None:
    """Reasoning, text and a tool call with its arguments are blocks of their own, on every wire."""
    start(page, rate=500, tokens=60, reasoning=True, tools=True)
    expect(page.locator("#verdict")).to_have_text(SAME)
    for wire in WIRES:
        blocks = transcript(page, wire).locator("> section")
        assert blocks.evaluate_all("all => all.map(({ className }) => className)") == ["reasoning", "text", "tool"]
        expect(blocks.nth(2)).to_contain_text("Tool call: get_weather")
        assert json.loads(blocks.nth(2).locator("pre").text_content() or "")["days"]


@pytest.mark.parametrize("wire", WIRES)
def test_stop_from_each_pane(page: Page, wire: str) -> None:
    """Each pane's Stop ends the generation for all, over its own wire."""
    posted: list[str] = []
    page.on("request", lambda request: posted.append(request.url) if request.url.endswith("/stop") else None)
    generation = start(page, **ENDLESS)
    button(page, wire, "Stop").click()
    for other in WIRES:
        expect(chip(page, other)).to_have_text("Stopped")
        expect(pane(page, other).locator(".outcome")).to_contain_text("Stopped on request.")
    expect(page.locator("#verdict")).to_have_text(SAME)
    assert len(posted) == (0 if wire == "ws" else 1)
    assert resource(page, generation)["outcome"] == "stopped"


@pytest.mark.parametrize("wire", WIRES)
def test_cut_and_reconnect(page: Page, wire: str) -> None:
    """A pane that was cut stands still while the others go on, then catches up without a gap."""
    generation = start(page, rate=120, tokens=400)
    button(page, wire, "Cut").click()
    expect(chip(page, wire)).to_have_text("Cut")
    held = transcript(page, wire).text_content() or ""
    for other in set(WIRES) - {wire}:
        expect(transcript(page, other)).to_have_text(at_least(len(held) + 100))
    assert transcript(page, wire).text_content() == held
    expect(pane(page, wire).locator("[data-stat=lag]")).to_have_text(re.compile(r"^[1-9]\d* events"))
    button(page, wire, "Reconnect").click()
    expect(page.locator("#verdict")).to_have_text(SAME)
    assert texts(page) == [resource(page, generation)["message"]["text"]] * 3


@pytest.mark.parametrize("wire", WIRES)
def test_reconnect_after_the_end(page: Page, wire: str) -> None:
    """A pane that missed the end is given it when it comes back."""
    start(page, **ENDLESS)
    button(page, wire, "Cut").click()
    expect(chip(page, wire)).to_have_text("Cut")
    page.keyboard.press("Escape")
    for other in set(WIRES) - {wire}:
        expect(chip(page, other)).to_have_text("Stopped")
    button(page, wire, "Reconnect").click()
    expect(chip(page, wire)).to_have_text("Stopped")
    expect(page.locator("#verdict")).to_have_text(SAME)


def test_reload_finds_it_going_on(page: Page) -> None:
    """A reload in mid-generation shows the text so far, goes on with it, and can still stop it."""
    generation = start(page, **ENDLESS)
    expect(transcript(page, "sse")).to_have_text(at_least(120))
    before = transcript(page, "sse").text_content() or ""
    page.reload()
    assert page.url.endswith(f"#{generation}")
    for wire in WIRES:
        expect(transcript(page, wire)).to_have_text(at_least(len(before) + 100))
        assert (transcript(page, wire).text_content() or "").startswith(before)
    page.keyboard.press("Escape")
    expect(page.locator("#verdict")).to_have_text(SAME)
    assert texts(page) == [resource(page, generation)["message"]["text"]] * 3


def test_markup_is_text(page: Page) -> None:
    """What a model says is shown and not run, whatever it looks like."""
    attack = """<img src=x onerror="alert(1)"><script>alert(2)</script><a href="javascript:alert(3)">&amp;</a>"""
    start(page, rate=500, text=attack)
    expect(page.locator("#verdict")).to_have_text(SAME)
    assert texts(page) == [attack] * 3
    assert page.locator(".transcript :is(img, script, a)").count() == 0


def test_failure_is_a_sentence(page: Page) -> None:
    """A provider that fails is told on every pane, with the text that came before it."""
    start(page, rate=300, fault="truncate", fault_after=20)
    for wire in WIRES:
        expect(chip(page, wire)).to_have_text("Failed")
        outcome = pane(page, wire).locator(".outcome")
        expect(outcome).to_have_text(re.compile(r"^Failed: .+\. Trying again may help\. \(upstream_truncated\)"))
    expect(page.locator("#verdict")).to_have_text(SAME)


def test_refused_start_is_a_sentence(page: Page, complaints: list[str]) -> None:
    """A start that the server refuses says why, and leaves the page as it was."""
    page.locator("#model").select_option("")
    page.get_by_label("Model name").fill("nowhere/model")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("alert")).to_contain_text("'nowhere' is not configured")
    expect(page.locator("#generation")).to_be_hidden()
    assert all("400" in complaint for complaint in complaints), complaints
    complaints.clear()


def test_unknown_generation_is_a_sentence(page: Page, complaints: list[str]) -> None:
    """An address of a generation that is gone says so, on every wire, and does not try for ever."""
    page.goto(f"/#{'0' * 32}")
    for wire in WIRES:
        expect(chip(page, wire)).to_have_text("Refused")
        expect(pane(page, wire).locator(".outcome")).to_contain_text("no such generation")
    assert all("404" in complaint for complaint in complaints), complaints
    complaints.clear()


def test_recent_generation_opens_again(page: Page) -> None:
    """The list holds what was started, and opens it with all its text; the back button finds the one before."""
    first = start(page, rate=2000, text="the first one")
    expect(page.locator("#verdict")).to_have_text(SAME)
    page.locator("#demo-text").fill("the second one")
    page.get_by_role("button", name="Start").click()
    expect(transcript(page, "ws")).to_have_text("the second one")
    page.locator(f"#recents a[href='#{first}']").click()
    for wire in WIRES:
        expect(transcript(page, wire)).to_have_text("the first one")
    page.go_back()
    for wire in WIRES:
        expect(transcript(page, wire)).to_have_text("the second one")


def test_pace_is_the_observers_own(page: Page) -> None:
    """A pace slows the panes down and not the generation, and can be changed while it runs."""
    page.get_by_label("Pace of these panes").select_option("5")
    with page.expect_request(re.compile(r"/events\?.*pace=5")):
        generation = start(page, rate=1000, tokens=200)
    assert page.request.get(f"/v1/generations/{generation}", headers={"Prefer": "wait=5"}).json()["state"] == "finished"
    expect(page.locator("#verdict")).to_be_empty()
    page.get_by_label("Pace of these panes").select_option("")
    expect(page.locator("#verdict")).to_have_text(SAME)


@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_nothing_scrolls_sideways(page: Page, width: int) -> None:
    """However narrow the screen and however long a word, the page has no horizontal scroll."""
    page.set_viewport_size({"width": width, "height": 800})
    start(page, rate=2000, text="incomprehensibilities" * 40)
    expect(page.locator("#verdict")).to_have_text(SAME)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wider = "all => all.filter((one) => one.scrollWidth > one.clientWidth).length"
    assert page.locator(".transcript").evaluate_all(wider) == 0


def test_keyboard_alone(page: Page) -> None:
    """Start, cut, reconnect and stop need no mouse, and focus can be seen."""
    fill_demo(page, **ENDLESS)
    page.reload()
    while page.evaluate("document.activeElement.id") != "prompt":
        page.keyboard.press("Tab")
    assert page.locator("#prompt").evaluate("one => getComputedStyle(one).outlineStyle") == "solid"
    page.keyboard.press("Control+A")
    page.keyboard.type("Say something long")
    page.keyboard.press("Control+Enter")
    expect(transcript(page, "ndjson")).to_have_text(at_least(1))
    page.keyboard.press("Alt+2")
    expect(chip(page, "ndjson")).to_have_text("Cut")
    page.keyboard.press("Alt+2")
    page.keyboard.press("Escape")
    expect(page.locator("#verdict")).to_have_text(SAME)
    expect(chip(page, "ndjson")).to_have_text("Stopped")


def test_every_control_has_a_name(page: Page) -> None:
    """In the accessibility tree no control, region or dialog is anonymous, and there is one of each landmark."""
    start(page, rate=2000, tokens=5)
    expect(page.locator("#verdict")).to_have_text(SAME)
    page.locator("#show-shortcuts").click()
    opened = _roles(page)
    page.keyboard.press("Escape")
    closed = _roles(page)
    named = {"button", "link", "textbox", "combobox", "spinbutton", "checkbox", "region", "form", "dialog", "article"}
    assert [node for node in opened + closed if node[0] in named and not node[1]] == []
    assert ("dialog", "Keyboard shortcuts") in opened
    for landmark in ("main", "banner", "navigation", "heading"):
        assert landmark in {role for role, _ in closed}
    assert {f"{wire} transcript" for wire in ("SSE", "NDJSON", "WebSocket")} <= {name for _, name in closed}


def _roles(page: Page) -> list[tuple[str, str]]:
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")
    shown = [node for node in tree["nodes"] if not node["ignored"]]
    return [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in shown]


def test_announcements_are_few(page: Page) -> None:
    """A screen reader hears of the turns of events, not of tokens."""
    page.evaluate("""() => {
        window.heard = [];
        const region = document.getElementById("announcements");
        new MutationObserver(() => window.heard.push(region.textContent)).observe(region, { childList: true });
    }""")
    start(page, rate=150, tokens=300)
    expect(page.locator("#announcements")).to_have_text(re.compile("^Completed"))
    heard = page.evaluate("window.heard")
    assert heard[0] == "Started."
    assert len(heard) <= 3


def test_motion_can_be_turned_off(page: Page) -> None:
    """Who asks for less motion gets none."""
    page.emulate_media(reduced_motion="reduce")
    start(page, **ENDLESS)
    name = "one => getComputedStyle(one, '::before').animationName"
    assert chip(page, "sse").evaluate(name) == "none"
    page.keyboard.press("Escape")


def test_reference_shows_every_route(page: Page) -> None:
    """`/docs` is made from the OpenAPI document, under the same policy, and fits a phone."""
    page.set_viewport_size({"width": 360, "height": 800})
    page.goto("/docs")
    document = page.request.get("/openapi.json").json()
    routes = sum(len(methods) for methods in document["paths"].values())
    expect(page.locator("#operations article")).to_have_count(routes)
    expect(page.locator("#schemas article")).to_have_count(len(document["components"]["schemas"]))
    page.locator("#contents").get_by_role("link", name="StartRequest").click()
    expect(page.locator("#schema-StartRequest")).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(page: Page, scheme: Any) -> None:
    """Every text on the page stands out from what is behind it by 4.5 to 1, in both schemes."""
    page.emulate_media(color_scheme=scheme)
    start(page, rate=2000, tokens=40, reasoning=True, tools=True)
    expect(page.locator("#verdict")).to_have_text(SAME)
    assert page.evaluate(CONTRAST) == []


CONTRAST = """() => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const over = (colors) => {
        canvas.clearRect(0, 0, 1, 1);
        for (const color of colors) {
            canvas.fillStyle = color;
            canvas.fillRect(0, 0, 1, 1);
        }
        return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const luminance = (rgb) => {
        const [r, g, b] = rgb.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const weak = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let text = walker.nextNode(); text; text = walker.nextNode()) {
        const owner = text.parentElement;
        if (!text.data.trim() || !owner.checkVisibility() || owner.closest(":disabled, .visually-hidden")) continue;
        const behind = [];
        for (let one = owner; one; one = one.parentElement) behind.unshift(getComputedStyle(one).backgroundColor);
        const [a, b] = [behind, [...behind, getComputedStyle(owner).color]].map((colors) => luminance(over(colors)));
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) weak.push([text.data.slice(0, 30), ratio]);
    }
    return weak;
}"""
