"""From an entry of the providers' file to a provider: a kind is added with one function and one line."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from realtime.providers.anthropic import AnthropicProvider
from realtime.providers.anthropic_clouds import BedrockProvider, VertexProvider
from realtime.providers.base import Provider
from realtime.providers.demo import DemoProvider
from realtime.providers.openai import OpenAIProvider
from realtime.providers.openai_responses import OpenAIResponsesProvider

from .key_file import read_key_file
from .providers_file import DeploymentEntry, Kind, ProviderEntry

# What a client may have open beyond what its deployment is given: a stream that is stopped closes a moment later.
_SPARE_CONNECTIONS = 10
_CONNECTIONS = 1000

_Build = Callable[[ProviderEntry, DeploymentEntry, str | None], Provider]


def _openai(_: ProviderEntry, entry: DeploymentEntry, key: str | None) -> Provider:
    return OpenAIProvider(key, entry.base_url, api_version=entry.api_version, max_connections=_connections(entry))


def _responses(provider: ProviderEntry, entry: DeploymentEntry, key: str | None) -> Provider:
    return OpenAIResponsesProvider(
        key,
        entry.base_url,
        api_version=entry.api_version,
        max_connections=_connections(entry),
        background=provider.background,
    )


def _anthropic(_: ProviderEntry, entry: DeploymentEntry, key: str | None) -> Provider:
    if key is None:
        raise ValueError("key_env: the API has no use without a key; name the variable or the file that holds it")
    return AnthropicProvider(key, entry.base_url, max_connections=_connections(entry))


def _bedrock(_: ProviderEntry, entry: DeploymentEntry, key: str | None) -> Provider:
    region = _needed(entry, "region")
    with _about("key_env"):
        return BedrockProvider(key, region, entry.base_url, max_connections=_connections(entry))


def _vertex(_: ProviderEntry, entry: DeploymentEntry, key: str | None) -> Provider:
    region, project = _needed(entry, "region"), _needed(entry, "project")
    with _about("key_env"):
        return VertexProvider(key, region, project, entry.base_url, max_connections=_connections(entry))


def _needed(entry: DeploymentEntry, name: str) -> str:
    value: str | None = getattr(entry, name)
    if value is None:
        raise ValueError(f"{name}: a provider of this kind needs one")
    return value


@contextmanager
def _about(name: str) -> Iterator[None]:
    """Say which field an error is about."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _demo(_: ProviderEntry, __: DeploymentEntry, ___: str | None) -> Provider:
    return DemoProvider()


KINDS: dict[Kind, _Build] = {
    "openai": _openai,
    "responses": _responses,
    "anthropic": _anthropic,
    "bedrock": _bedrock,
    "vertex": _vertex,
    "demo": _demo,
}


def build(provider: ProviderEntry, entry: DeploymentEntry, env: Mapping[str, str]) -> Provider:
    """The provider of one deployment.

    Raises:
        ValueError: Its key is not where it should be, or something that it needs is missing.
    """
    return KINDS[provider.kind](provider, entry, read_key(entry, env))


def read_key(entry: DeploymentEntry, env: Mapping[str, str]) -> str | None:
    """The key that an entry names; None when it names none.

    Raises:
        ValueError: There is none where it should be; says where, and nothing of what is there.
    """
    if entry.key_env is not None and entry.key_file is not None:
        raise ValueError("key_env: give this or key_file, not both")
    if entry.key_env is not None:
        key = env.get(entry.key_env, "").strip()
        if not key:
            raise ValueError(f"key_env: {entry.key_env} is not set")
        return key
    if entry.key_file is None:
        return None
    with _about(f"key_file: {entry.key_file}"):
        try:
            return read_key_file(Path(entry.key_file))
        except OSError as error:
            raise ValueError(error.strerror) from None


def _connections(entry: DeploymentEntry) -> int:
    return _CONNECTIONS if entry.max_live is None else entry.max_live + _SPARE_CONNECTIONS
