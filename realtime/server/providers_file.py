"""The providers' file: what is offered, under which keys, within which bounds, at what price.

It is TOML and read strictly: a misspelt name is an error that says where it stands. It holds no secret, only where one
is to be found, so it can be kept with the rest of a deployment's configuration.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta as Limit

from realtime.attempts import RetryRules
from realtime.breaker import BreakerRules
from realtime.deployments import OnStop
from realtime.prices import Prices
from realtime.request import DeadlinesRequest

Kind = Literal["openai", "responses", "anthropic", "bedrock", "vertex", "demo"]
Count = Annotated[int, Limit(ge=1)]
Name = Annotated[str, Limit(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
Place = Annotated[str, Limit(pattern=r"^[a-z0-9][a-z0-9:.-]{0,62}$")]
Url = Annotated[str, Limit(pattern=r"^https?://[^\s]+$")]
Models = tuple[str, ...] | dict[str, str]
_T = TypeVar("_T")


class DeploymentEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One deployment; what it does not say, its provider's table does.

    Attributes:
        name: For logs and metrics.
        key_env: The variable that holds the key.
        key_file: The file that holds it.
        base_url: Of another server than the provider's own.
        api_version: `base_url` is an endpoint of Azure's, and this the version of its API.
        region: Of `bedrock` and `vertex`: where.
        project: Of `vertex`: whose, by its id.
        models: Which may be asked for: names and patterns, or a table of them with the provider's own name of each.
        max_live: Generations at once.
    """

    name: Name | None = None
    key_env: str | None = None
    key_file: str | None = None
    base_url: Url | None = None
    api_version: str | None = None
    region: Place | None = None
    project: Place | None = None
    models: Models | None = None
    max_live: Count | None = None


class ProviderEntry(DeploymentEntry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[providers.<alias>]`.

    Attributes:
        kind: The wire it speaks.
        timeouts: The server's own hold where they are shorter, or nothing is said.
        prices: By name or pattern of its models.
        background: Of `responses`: let the provider go on when the connection drops, and come back to it.
        on_stop: `drain` for one that bills a stopped answer in full: it is read to its end for the figures.
        deployments: Several keys, regions or servers of it, used in turn by least load.
    """

    kind: Kind
    timeouts: DeadlinesRequest = DeadlinesRequest()
    prices: dict[str, Prices] = msgspec.field(default_factory=dict)
    background: bool = False
    on_stop: OnStop = "abort"
    deployments: tuple[DeploymentEntry, ...] = ()

    def entries(self) -> list[DeploymentEntry]:
        """Its deployments, each whole."""
        own = {name: getattr(self, name) for name in DeploymentEntry.__struct_fields__}
        several = self.deployments or (DeploymentEntry(),)
        named = []
        for number, entry in enumerate(several, 1):
            said = {name: getattr(entry, name) for name in DeploymentEntry.__struct_fields__}
            whole = own | {name: value for name, value in said.items() if value is not None}
            whole["name"] = whole["name"] or ("default" if len(several) == 1 else str(number))
            named.append(DeploymentEntry(**whole))
        return named


class Queue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[queue]`: generations that may wait for a place."""

    length: Annotated[int, Limit(ge=0)] = 100


class ProvidersFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of it.

    Attributes:
        aliases: Names for lists of models, the preferred one first.
    """

    providers: dict[Name, ProviderEntry]
    aliases: dict[Name, Annotated[tuple[str, ...], Limit(min_length=1)]] = msgspec.field(default_factory=dict)
    retries: RetryRules = RetryRules()
    breaker: BreakerRules = BreakerRules()
    queue: Queue = Queue()


def read_providers_file(path: Path) -> ProvidersFile:
    """Read it.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not TOML, or not what it should be; says where.
    """
    try:
        given: dict[str, Any] = tomllib.loads(path.read_text())
    except UnicodeDecodeError:
        raise ValueError("is not text") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"is not TOML: {error}") from None
    if (secret := _secret(given)) is not None:
        raise ValueError(f"{secret}: keys are read from key_env or key_file, and never stand in the file itself")
    file = _converted(given | {"providers": {}}, ProvidersFile, "")
    # One by one: msgspec names the place in a struct, but not the key in a table.
    entries = _converted(given.get("providers", {}), dict[Name, dict[str, Any]], "providers")
    providers = {alias: _converted(entry, ProviderEntry, f"providers.{alias}") for alias, entry in entries.items()}
    file = msgspec.structs.replace(file, providers=providers)
    _check_names(file)
    return file


def _secret(given: dict[str, Any]) -> str | None:
    """Where somebody has written a key, if they have: its error must not repeat it."""
    for alias, entry in _tables(given.get("providers")):
        for place, table in (("", entry), *((f".deployments[{n}]", one) for n, one in enumerate(_list(entry)))):
            for name in ("key", "api_key", "token", "secret"):
                if isinstance(table, dict) and name in table:
                    return f"providers.{alias}{place}.{name}"
    return None


def _tables(given: Any) -> list[tuple[str, dict[str, Any]]]:
    return [(str(name), one) for name, one in given.items() if isinstance(one, dict)] if isinstance(given, dict) else []


def _list(entry: dict[str, Any]) -> list[Any]:
    listed = entry.get("deployments")
    return listed if isinstance(listed, list) else []


def _converted(given: Any, kind: type[_T], place: str) -> _T:
    """What was read as what it should be; raises ValueError with the place first."""
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        sentence, _, below = str(error).partition(" - at `$")
        where = f"{place}{below.rstrip('`')}".lstrip(".")
        raise ValueError(f"{where}: {sentence}" if where else sentence) from None


def _check_names(file: ProvidersFile) -> None:
    for alias, models in file.aliases.items():
        if alias in file.providers:
            raise ValueError(f"aliases.{alias}: there is a provider of that name")
        for model in models:
            provider, slash, _ = model.partition("/")
            if not slash or provider not in file.providers:
                raise ValueError(f"aliases.{alias}: {model!r} is no model of a provider in this file")
    for alias, entry in file.providers.items():
        names = [one.name for one in entry.entries()]
        if len(set(names)) < len(names):
            raise ValueError(f"providers.{alias}.deployments: two have the same name")
