"""Which upstreams are reached through a proxy: as httpx2 itself reads the environment."""

import httpx2
import openai
import pytest

from realtime.providers.http.proxies import proxied

ENVIRONMENTS: list[dict[str, str]] = [
    {},
    {"HTTPS_PROXY": "http://proxy:3128"},
    {"https_proxy": "proxy:3128"},
    {"HTTP_PROXY": "http://proxy:3128"},
    {"ALL_PROXY": "http://proxy:3128"},
    {"HTTPS_PROXY": "http://proxy:3128", "HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "localhost, 127.0.0.1"},
    {"ALL_PROXY": "http://proxy:3128", "NO_PROXY": "openai.com"},
    {"ALL_PROXY": "http://proxy:3128", "NO_PROXY": "other.com"},
    {"ALL_PROXY": "http://proxy:3128", "NO_PROXY": "*"},
]
URLS = ["https://api.openai.com/v1", "http://localhost:11434/v1", "http://127.0.0.1:8000/v1"]


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=str)
@pytest.mark.parametrize("url", URLS)
async def test_as_httpx2_reads_it(url: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where we say that there is a proxy, the SDK's client uses one, and nowhere else."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        for spelled in (name, name.lower()):
            monkeypatch.delenv(spelled, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    async with openai.DefaultAsyncHttpxClient(verify=False) as client:
        used = client._transport_for_url(httpx2.URL(url))
        assert proxied(url) is (used is not client._transport)
