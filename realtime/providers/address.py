"""The base URL of a model API, which may carry what is sent and must not be shown: `http://user:password@host/v1`."""

from base64 import b64encode
from urllib.parse import SplitResult, unquote, urlsplit


def split_credentials(url: str) -> tuple[str, dict[str, str]]:
    """A base URL without its user and password, and the header they are sent in.

    The HTTP client refuses a request that has both such a URL and an Authorization header, which the SDK always sets.
    """
    parts = _split(url)
    if parts is None or "@" not in parts.netloc:
        return url, {}
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    basic = b64encode(f"{user}:{password}".encode()).decode()
    return _bare(parts).geturl(), {"Authorization": f"Basic {basic}"}


def shown_url(url: str) -> str:
    """A URL as anyone may see it: without user, password, query and fragment."""
    parts = _split(url)
    return "a URL that cannot be read" if parts is None else _bare(parts)._replace(query="", fragment="").geturl()


def _split(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:
        return None


def _bare(parts: SplitResult) -> SplitResult:
    return parts._replace(netloc=parts.netloc.rpartition("@")[2])
