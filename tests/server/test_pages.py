"""The pages: self-contained, unframeable, and with no door for what a model says."""

import re

import pytest

from tests.support.http import Response, request
from tests.support.server import RunningServer, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGES = ["/", "/docs"]


async def get(server: RunningServer, target: str) -> Response:
    """GET something that is there."""
    answer = await request(server.address, "GET", target)
    assert answer.status == 200, answer
    return answer


def policy(answer: Response) -> dict[str, list[str]]:
    """The content security policy, by directive."""
    directives = answer.headers["content-security-policy"].split(";")
    return {name: sources for name, *sources in (directive.split() for directive in directives)}


def assets(page: str) -> list[str]:
    """What a page refers to, where a browser would fetch it."""
    return re.findall(r"""(?:src|href)=["']([^"'#]+)["']""", page)


@pytest.mark.parametrize("target", PAGES)
async def test_policy(server: RunningServer, target: str) -> None:
    """Nothing inline runs, nothing is fetched from elsewhere, nobody frames the page, no form or base leads away."""
    rules = policy(await get(server, target))
    assert rules["default-src"] == ["'none'"]
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == ["'self'"]
    assert rules["base-uri"] == rules["form-action"] == rules["frame-ancestors"] == ["'none'"]
    assert {source for sources in rules.values() for source in sources} == {"'none'", "'self'"}


@pytest.mark.parametrize("target", [*PAGES, "/assets/icon.svg", "/assets/client.js"])
async def test_headers(server: RunningServer, target: str) -> None:
    """Pages and files alike are of the type they say, tell no one where a reader came from, and can be replaced."""
    headers = (await get(server, target)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-cache"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "server" not in headers


@pytest.mark.parametrize("target", PAGES)
async def test_nothing_from_elsewhere(server: RunningServer, target: str) -> None:
    """A page names only files of this server, and all of them are there; links for people may lead away."""
    page = (await get(server, target)).body.decode()
    fetched = re.findall(r"""<(?:script|link|img)[^>]*?(?:src|href)=["']([^"']+)["']""", page)
    assert fetched
    for target_of_asset in fetched:
        assert not re.match(r"(?:[a-z]+:)?//", target_of_asset), target_of_asset
        await get(server, "/" + target_of_asset.removeprefix("./").removeprefix("/"))


@pytest.mark.parametrize("target", PAGES)
async def test_nothing_inline(server: RunningServer, target: str) -> None:
    """No script, style or handler stands in the page itself: the policy would keep it from running."""
    page = (await get(server, target)).body.decode()
    assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", page) == []
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:", page) == []


async def test_scripts_write_text_only(server: RunningServer) -> None:
    """What a model says reaches the page as text: no script has a way to write markup, or to run a string."""
    page = (await get(server, "/")).body.decode()
    seen, left = set(), {name for name in assets(page) if name.endswith(".js")}
    while left:
        target = left.pop()
        seen.add(target)
        script = (await get(server, "/" + target.lstrip("./"))).body.decode()
        for door in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
            assert door not in script, (target, door)
        folder = target.rpartition("/")[0]
        found = re.findall(r"""(?:from|import)\s*\(?["']\./([^"']+)["']""", script)
        left |= {f"{folder}/{name}" for name in found} - seen
    assert len(seen) > 1


@pytest.mark.parametrize(
    ("name", "media"),
    [
        ("client.js", "text/javascript"),
        ("theme.css", "text/css"),
        ("icon.svg", "image/svg+xml"),
        ("client.d.ts", "text/plain"),
    ],
)
async def test_types(server: RunningServer, name: str, media: str) -> None:
    """A file is served as what it is."""
    assert (await get(server, f"/assets/{name}")).headers["content-type"].startswith(media)


@pytest.mark.parametrize(
    "name", ["../app.py", "..%2fapp.py", "%2e%2e/app.py", "app.py", "nope.js", ".", "index.html%00"]
)
async def test_no_other_files(server: RunningServer, name: str) -> None:
    """Only the files of the folder are served, whatever a path looks like."""
    assert (await request(server.address, "GET", f"/assets/{name}")).status == 404


async def test_playground_off() -> None:
    """Without the playground there is no page at the root; the reference stays."""
    async with serving(playground=False) as server:
        assert (await request(server.address, "GET", "/")).status == 404
        assert (await request(server.address, "GET", "/docs")).status == 200
