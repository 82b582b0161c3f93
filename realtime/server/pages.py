"""The playground and the API reference: pages, styles and scripts from this package and nowhere else."""

from pathlib import Path

from fastapi import APIRouter, Response

from realtime.errors import RealtimeError

_WEB = Path(__file__).parent / "web"
_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".ts": "text/plain",
    ".svg": "image/svg+xml",
}

# Model output is untrusted: nothing inline runs, nothing is fetched from elsewhere, nobody frames the page.
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

# Monitors and link checkers ask with HEAD.
_METHODS = ["GET", "HEAD"]


def create_pages(*, playground: bool) -> APIRouter:
    """`/docs`, `/assets/…` and, with `playground`, `/`; files are read once, here."""
    router = APIRouter(include_in_schema=False)
    files = {path.name: path.read_bytes() for path in sorted(_WEB.iterdir()) if path.suffix in _TYPES}

    def page(name: str) -> Response:
        body = files.get(name)
        if body is None:
            raise RealtimeError("not_found", "There is no such page.")
        return Response(body, media_type=_TYPES[Path(name).suffix], headers=_HEADERS)

    if playground:

        @router.api_route("/", methods=_METHODS)
        async def index() -> Response:
            return page("index.html")

    @router.api_route("/docs", methods=_METHODS)
    async def docs() -> Response:
        return page("docs.html")

    @router.api_route("/assets/{name}", methods=_METHODS)
    async def asset(name: str) -> Response:
        return page(name)

    return router
