"""What this server offers: the providers' file where there is one, else what the environment names."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from realtime.catalogue import Catalogue
from realtime.deployments import Deployment
from realtime.policy import Deadlines
from realtime.providers.address import shown_url
from realtime.providers.demo import DemoProvider
from realtime.request import DeadlinesRequest

from .found import find_providers
from .kinds import build
from .providers_file import DeploymentEntry, ProviderEntry, ProvidersFile, read_providers_file

_FOR_EVER_S = 86_400.0


class Offers(NamedTuple):
    """A catalogue, and a line for each provider, without secrets, that says where it came from."""

    catalogue: Catalogue
    sources: dict[str, str]


def read_offers(path: Path | None, env: Mapping[str, str], *, demo: bool | None) -> Offers:
    """What is offered.

    Args:
        path: The providers' file; without it the variables that the providers' own SDKs read are looked at.
        demo: Whether to offer the demo provider too; None for only when there is no other.

    Raises:
        ValueError: The file is not what it should be, or a key is not where it says; with the place first.
    """
    if path is None:
        found = find_providers(env, demo=demo)
        sources = {one.alias: one.source for one in found}
        return Offers(Catalogue.of({one.alias: one.provider for one in found}), sources)
    try:
        file = read_providers_file(path)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    offers = _from_file(file, env)
    if demo and "demo" not in offers.catalogue.deployments:
        offers.catalogue.add("demo", DemoProvider())
        offers.sources["demo"] = "built in, needs no key"
    return offers


def _from_file(file: ProvidersFile, env: Mapping[str, str]) -> Offers:
    deployments, sources = {}, {}
    for alias, entry in file.providers.items():
        entries = entry.entries()
        deployments[alias] = [_deployment(file, alias, entry, one, env) for one in entries]
        sources[alias] = "; ".join(_source(entry, one) for one in entries)
    catalogue = Catalogue(deployments, file.aliases, retries=file.retries, max_waiting=file.queue.length)
    return Offers(catalogue, sources | {alias: " or else ".join(models) for alias, models in file.aliases.items()})


def _deployment(
    file: ProvidersFile, alias: str, entry: ProviderEntry, one: DeploymentEntry, env: Mapping[str, str]
) -> Deployment:
    try:
        provider = build(entry, one, env)
    except ValueError as error:
        raise ValueError(f"providers.{alias}.{error}") from None
    models = one.models
    return Deployment(
        provider,
        alias=alias,
        name=one.name or "default",
        models=models if models is None or isinstance(models, dict) else dict.fromkeys(models, ""),
        max_live=one.max_live,
        deadlines=_deadlines(entry.timeouts),
        prices=entry.prices,
        on_stop=entry.on_stop,
        breaker=file.breaker,
    )


def _deadlines(timeouts: DeadlinesRequest) -> Deadlines:
    """Where nothing is said there is no end; the server's own deadlines hold in any case."""
    given = (timeouts.connect, timeouts.first_event, timeouts.idle, timeouts.total)
    return Deadlines(*(_FOR_EVER_S if seconds is None else seconds for seconds in given))


def _source(entry: ProviderEntry, one: DeploymentEntry) -> str:
    words: list[str] = [entry.kind]
    if one.key_env or one.key_file:
        words.append(f"with {one.key_env or one.key_file}")
    if one.base_url:
        words.append(f"at {shown_url(one.base_url)}")
    return " ".join(words)
