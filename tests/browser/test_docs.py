"""The API reference in a browser, under the policy it is served with."""

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from .test_playground import CONTRAST

pytestmark = pytest.mark.browser


@pytest.fixture
def docs(browser: Browser, server: str) -> Iterator[Page]:
    """The reference, which may end with nothing in its console: no error, and no violation of its policy."""
    complaints: list[str] = []
    context = browser.new_context(base_url=server, viewport={"width": 1280, "height": 900})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.add_init_script("addEventListener('securitypolicyviolation', ({violatedDirective: d}) => console.error(d))")
    page.goto("/docs")
    page.locator("#schemas article").first.wait_for()
    yield page
    context.close()
    assert complaints == []


def described(page: Page) -> dict[str, Any]:
    """The document that the page is made from."""
    document: dict[str, Any] = page.request.get("/openapi.json").json()
    return document


def start(page: Page) -> Any:
    """The article of the start."""
    return page.locator("#post-v1-generations")


def test_every_route_is_there(docs: Page) -> None:
    """Each operation has an article with its parameters, answers and example, and all contents lead somewhere."""
    paths = described(docs)["paths"]
    routes = {f"{method.upper()} {path}": one for path, methods in paths.items() for method, one in methods.items()}
    articles = docs.locator("#operations article")
    shown = {title.strip(): index for index, title in enumerate(articles.locator("h3").all_text_contents())}
    assert shown.keys() == routes.keys()
    for title, operation in routes.items():
        article = articles.nth(shown[title])
        text = article.text_content() or ""
        assert operation["summary"] in text
        for named in operation.get("parameters", []):
            assert article.locator("dt", has_text=re.compile(f"^{named['name']}$")).count() == 1
        for status in set(operation["responses"]) - {"default"}:
            assert article.locator("dt", has_text=re.compile(f"^{status}$")).count() == 1
        assert text.count("curl ") == 1
    links = docs.locator("#contents a").evaluate_all("all => all.map((one) => one.getAttribute('href').slice(1))")
    assert docs.evaluate("ids => ids.filter((id) => document.getElementById(id) === null)", links) == []
    assert len(links) >= len(routes)


def test_fields_and_limits(docs: Page) -> None:
    """Every field of a start has its type, its limits, its default and what it is for."""
    rows = start(docs).locator("dl").nth(1).locator("> div")
    fields = described(docs)["components"]["schemas"]["StartRequest"]["properties"]
    assert [row.locator("dt").first.text_content() for row in rows.all()] == list(fields)
    facts = {name: rows.nth(index).locator("dd").first.text_content() or "" for index, name in enumerate(fields)}
    assert facts["model"].startswith("stringrequired, matches ^[a-z0-9]")
    assert facts["max_tokens"].startswith("integeroptional, at least 1, at most 1,000,000")
    assert facts["stop"].startswith("array of stringdefault [], at most 16 items, each at least 1 character")
    assert facts["if_busy"].startswith('"allow" | "reject" | "replace"default "reject"')


def test_nested_fields_unfold(docs: Page) -> None:
    """What a field is made of unfolds below it, by keyboard, as deep as it goes."""
    message = start(docs).locator("details", has=docs.get_by_text("Fields of Message", exact=True)).first
    part = message.get_by_text("Fields of TextPart", exact=True)
    expect(part).to_be_hidden()
    message.locator("summary").first.focus()
    docs.keyboard.press("Enter")
    expect(part).to_be_visible()
    part.click()
    expect(message.locator("dt", has_text=re.compile("^text$")).first).to_be_visible()


def test_every_error_is_there(docs: Page) -> None:
    """The table of errors is the document's, row by row."""
    errors = described(docs)["x-errors"]
    rows = docs.locator("#errors tr")
    assert [row.split("\t")[:2] for row in rows.all_inner_texts()] == [
        [code, str(one["status"])] for code, one in errors.items()
    ]


def test_example_is_copied_and_works(docs: Page) -> None:
    """The start's command is copied as it stands, and the server takes its body."""
    start(docs).get_by_role("button", name="Copy the command: Start a generation").click()
    expect(docs.get_by_role("status")).to_have_text("Copied")
    words = shlex.split(docs.evaluate("navigator.clipboard.readText()").replace("\\\n", ""))
    assert words[:2] == ["curl", "-N"]
    assert words[2] == f"{docs.url.removesuffix('/docs')}/v1/generations"
    header, body = words[words.index("-H") + 1], words[words.index("-d") + 1]
    answer = docs.request.post(words[2], data=body.encode(), headers=dict([header.split(": ")]))
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "event: finished" in answer.text()


def test_link_to_a_place(docs: Page) -> None:
    """An address with a place in it opens there, though the place is made by the script."""
    docs.goto("/docs#schema-Problem")
    docs.reload()
    expect(docs.locator("#schema-Problem h3")).to_be_in_viewport()


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_scrolls_sideways(docs: Page, width: int) -> None:
    """With all that can be unfolded unfolded, the page is no wider than the screen."""
    docs.set_viewport_size({"width": width, "height": 800})
    docs.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
    assert docs.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(docs: Page, scheme: Any) -> None:
    """Every text stands out from what is behind it by 4.5 to 1, in both schemes."""
    docs.emulate_media(color_scheme=scheme)
    assert docs.evaluate(CONTRAST) == []


def test_structure(docs: Page) -> None:
    """Headings leave out no level, landmarks are there, ids are used once, and the keyboard skips the contents."""
    levels = docs.locator("h1, h2, h3, h4").evaluate_all("all => all.map((one) => Number(one.tagName[1]))")
    body = levels[levels.index(1) :]
    assert body.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(body))
    for role in ("banner", "main"):
        expect(docs.get_by_role(role)).to_have_count(1)
    expect(docs.get_by_role("navigation", name="Contents")).to_be_visible()
    ids = docs.locator("[id]").evaluate_all("all => all.map((one) => one.id)")
    assert len(ids) == len(set(ids))
    docs.keyboard.press("Tab")
    expect(docs.get_by_role("link", name="Skip to the reference")).to_be_focused()
    docs.keyboard.press("Enter")
    expect(docs.locator("#reference")).to_be_focused()


def test_failure_is_a_sentence(docs: Page) -> None:
    """When the document cannot be had the page says so."""
    docs.route("**/openapi.json", lambda route: route.fulfill(status=200, body="{"))
    docs.reload()
    expect(docs.get_by_role("alert")).to_contain_text("The reference cannot be shown: ")
