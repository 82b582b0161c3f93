"""`realtime providers check`: ask every deployment, and say what came of it.

Asking for the list of models shows that the address, the key and the network are right, and costs nothing. With `--ask`
each is given a word to answer, which costs next to nothing and shows that a model can be used.
"""

import asyncio
import os
import sys
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from realtime.deployments import Deployment
from realtime.errors import RealtimeError
from realtime.events import Text
from realtime.policy import Deadlines
from realtime.prompt import Message, Prompt
from realtime.providers.base import Batch, Provider

from .offers import Offers, read_offers
from .settings import Settings

_DEADLINES = Deadlines(connect_s=5.0, first_event_s=30.0, idle_s=30.0, total_s=60.0)
_SHOWN_MODELS = 3


class Finding(NamedTuple):
    """What one deployment said; `failed` is the code of what went wrong."""

    deployment: str
    models: str
    answer: str
    failed: bool


def check(*, ask: bool) -> None:
    """Check all providers, print a table of what was found, and exit with 1 when any of it is wrong."""
    given: dict[str, Any] = {}
    try:
        settings = Settings(**given)
        offers = read_offers(settings.providers_file, os.environ, demo=settings.demo)
    except ValueError as error:
        print(f"realtime: {_sentence(error)}", file=sys.stderr)
        sys.exit(2)
    findings = asyncio.run(_check_all(offers, ask=ask))
    Console(soft_wrap=True).print(_table(findings))
    sys.exit(1 if any(finding.failed for finding in findings) else 0)


def _sentence(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return f"providers_file: {error}"


async def _check_all(offers: Offers, *, ask: bool) -> list[Finding]:
    deployments = [one for mine in offers.catalogue.deployments.values() for one in mine]
    try:
        return await asyncio.gather(*(_check(one, ask=ask) for one in deployments))
    finally:
        await offers.catalogue.close()


async def _check(deployment: Deployment, *, ask: bool) -> Finding:
    name = deployment.alias if deployment.name == "default" else f"{deployment.alias} ({deployment.name})"
    began = time.monotonic()
    models = await deployment.provider.models()
    offered = [model for model in models if deployment.own_name(model) is not None]
    named = [pattern for pattern in deployment.patterns() or () if not set("*?[") & set(pattern)]
    shown = _shown(offered or named, len(offered or named))
    chosen = next(iter(named or offered), None)
    if models and not ask:
        return Finding(name, shown, f"listed its models in {_ms(began)}", failed=False)
    if chosen is None:
        return Finding(name, shown, "does not list its models; name one in the providers' file to ask it", failed=True)
    began = time.monotonic()
    try:
        first_s = await _ask(deployment.provider, deployment.own_name(chosen) or chosen)
    except RealtimeError as error:
        return Finding(name, shown, f"{chosen}: {error.code}: {error.error.message}", failed=True)
    return Finding(name, shown, f"{chosen} answered in {first_s * 1000:.0f} ms", failed=False)


async def _ask(provider: Provider, model: str) -> float:
    """Seconds to the first text of a short answer; raises what went wrong."""
    prompt = Prompt(model, (Message("user", "Say hello."),), max_tokens=16)
    began, first_s = time.monotonic(), 0.0

    def take(batch: Batch) -> None:
        nonlocal first_s
        if not first_s and any(isinstance(item, Text) for item in batch):
            first_s = time.monotonic() - began

    provider.check(prompt)
    try:
        async with asyncio.timeout(_DEADLINES.total_s), provider.open(prompt, _DEADLINES) as stream:
            await stream.run(take)
    except TimeoutError:
        raise RealtimeError("timeout_total") from None
    return first_s or time.monotonic() - began


def _shown(names: Iterable[str], count: int) -> str:
    some = list(names)[:_SHOWN_MODELS]
    return ", ".join(some) + (f" and {count - len(some)} more" if count > len(some) else "")


def _ms(began: float) -> str:
    return f"{(time.monotonic() - began) * 1000:.0f} ms"


def _table(findings: Iterable[Finding]) -> Table:
    table = Table("provider", "models", "found", box=None, pad_edge=False)
    for finding in findings:
        style = "red" if finding.failed else "green"
        answer = f"[{style}]{escape(finding.answer)}[/{style}]"
        table.add_row(finding.deployment, escape(finding.models) or "-", answer)
    return table
