"""Which providers the environment names, by the variables their own SDKs read.

Whoever needs more than the environment can say writes a providers' file (`providers_file.py`), or builds a
`SessionManager` with providers of their own.
"""

from collections.abc import Mapping
from typing import NamedTuple

from realtime.providers.address import shown_url
from realtime.providers.anthropic import AnthropicProvider
from realtime.providers.base import Provider
from realtime.providers.demo import DemoProvider
from realtime.providers.openai import OpenAIProvider


class Found(NamedTuple):
    """A provider under its alias, and one line, without secrets, that says where it came from."""

    alias: str
    provider: Provider
    source: str


def find_providers(env: Mapping[str, str], *, demo: bool | None) -> list[Found]:
    """Providers the environment names.

    Args:
        demo: Whether to offer the demo provider; None for only when there is no other.
    """
    found = []
    openai_key, openai_url = env.get("OPENAI_API_KEY") or None, env.get("OPENAI_BASE_URL") or None
    if openai_key or openai_url:
        named = [name for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL") if env.get(name)]
        where = f" at {shown_url(openai_url)}" if openai_url else ""
        found.append(Found("openai", OpenAIProvider(openai_key, openai_url), f"{' and '.join(named)}{where}"))
    anthropic_key, anthropic_url = env.get("ANTHROPIC_API_KEY") or None, env.get("ANTHROPIC_BASE_URL") or None
    if anthropic_key:
        where = f" at {shown_url(anthropic_url)}" if anthropic_url else ""
        found.append(Found("anthropic", AnthropicProvider(anthropic_key, anthropic_url), f"ANTHROPIC_API_KEY{where}"))
    if demo or (demo is None and not found):
        found.append(Found("demo", DemoProvider(), "built in, needs no key"))
    return found
