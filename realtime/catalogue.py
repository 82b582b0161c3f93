"""What can be asked for: the providers by alias, their deployments, and the aliases that stand for several models.

New settings make a new catalogue, and the old one is closed when the last of its generations is over.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import msgspec

from .attempts import Attempts, RetryBudget, RetryRules, Target
from .deployments import Deployment
from .errors import RealtimeError
from .places import Places
from .prompt import Prompt
from .providers.base import Provider


class Catalogue:
    """Providers by alias, and what their models are also called.

    Args:
        deployments: Of each provider's alias, one or more; those of one alias are used in turn, by least load.
        aliases: Names that callers use for a list of models (`anthropic/…`, `openai/…`), the preferred one first; the
            next is asked when one fails before it said anything.
        max_waiting: Generations that may wait for a place.
    """

    def __init__(
        self,
        deployments: Mapping[str, Sequence[Deployment]],
        aliases: Mapping[str, Sequence[str]] | None = None,
        *,
        retries: RetryRules | None = None,
        max_waiting: int = 100,
    ) -> None:
        self.deployments = {alias: tuple(mine) for alias, mine in deployments.items()}
        self.aliases = {alias: tuple(models) for alias, models in (aliases or {}).items()}
        self.places = Places(max_waiting)
        self._rules = retries or RetryRules()
        self._budget = RetryBudget(self._rules)
        self._live = 0
        self._idle: Callable[[], None] | None = None

    @classmethod
    def of(cls, providers: Mapping[str, Provider]) -> "Catalogue":
        """Each provider as it is, with one deployment and without a bound."""
        catalogue = cls({})
        for alias, provider in providers.items():
            catalogue.add(alias, provider)
        return catalogue

    def __repr__(self) -> str:
        return f"<Catalogue providers={sorted(self.deployments)} aliases={sorted(self.aliases)} live={self._live}>"

    def add(self, alias: str, provider: Provider) -> None:
        """Offer one more provider, as it is."""
        self.deployments[alias] = (Deployment(provider, alias=alias),)

    def attempts(self, model: str, prompt: Prompt) -> Attempts:
        """Who can be asked for a model with that prompt, in order.

        Raises:
            RealtimeError: `bad_request` for a model that is not offered, naming those that are, or a prompt that
                nobody who offers it can honour; `overloaded` when there is neither a place nor room to wait for one.
        """
        tiers, refusal = [], None
        for name in self.aliases.get(model, (model,)):
            try:
                tiers.append(self._tier(name, prompt))
            except RealtimeError as error:
                refusal = refusal or error
        if not tiers:
            assert refusal is not None
            raise refusal
        self.places.refuse_when_full([target.deployment for tier in tiers for target in tier])
        return Attempts(tiers, places=self.places, rules=self._rules, budget=self._budget)

    def _tier(self, model: str, prompt: Prompt) -> list[Target]:
        alias, _, name = model.partition("/")
        mine = self.deployments.get(alias)
        if mine is None:
            raise self._unknown(alias)
        if not name:
            raise RealtimeError("bad_request", f"Say which of its models: {alias}/<model>.", field="model")
        targets, refusal = [], None
        for deployment in mine:
            own_name = deployment.own_name(name)
            if own_name is None:
                continue
            asked = msgspec.structs.replace(prompt, model=own_name)
            try:
                deployment.provider.check(asked)
            except RealtimeError as error:
                refusal = refusal or error
            else:
                targets.append(Target(deployment, asked))
        if not targets:
            raise refusal or _not_offered(alias, name, mine)
        return targets

    def _unknown(self, alias: str) -> RealtimeError:
        known = ", ".join(sorted([*self.deployments, *self.aliases])) or "none"
        sentence = f"Provider {alias!r} is not configured here; configured: {known}."
        return RealtimeError("bad_request", sentence, field="model")

    async def models(self) -> list[dict[str, str]]:
        """Every model that can be asked for: `id` as `start` takes it, and its provider's alias."""
        named = await asyncio.gather(*(_names(mine) for mine in self.deployments.values()))
        listed = [{"id": alias, "provider": alias} for alias in self.aliases]
        for alias, names in zip(self.deployments, named, strict=True):
            listed += [{"id": f"{alias}/{name}", "provider": alias} for name in names]
        return listed

    # Its end.

    def begin(self) -> None:
        """A generation of it begins."""
        self._live += 1

    def end(self) -> None:
        """A generation of it is over."""
        self._live -= 1
        if not self._live and self._idle is not None:
            self._idle()

    async def close_when_idle(self) -> None:
        """Close once nothing of it runs any more."""
        if self._live:
            idle = asyncio.Event()
            self._idle = idle.set
            await idle.wait()
        await self.close()

    async def close(self) -> None:
        """Release all connections."""
        for mine in self.deployments.values():
            for deployment in mine:
                await deployment.provider.close()


async def _names(deployments: Sequence[Deployment]) -> list[str]:
    """What the deployments of one alias have: the names without a wildcard, or all that the provider tells of."""
    names: dict[str, None] = {}
    for deployment in deployments:
        patterns = deployment.patterns()
        if patterns is None or any("*" in pattern for pattern in patterns):
            known = await deployment.provider.models()
            names |= dict.fromkeys(name for name in known if deployment.own_name(name) is not None)
        names |= dict.fromkeys(pattern for pattern in patterns or () if not set("*?[") & set(pattern))
    return list(names)


def _not_offered(alias: str, name: str, deployments: Sequence[Deployment]) -> RealtimeError:
    known = sorted({pattern for deployment in deployments for pattern in deployment.patterns() or ()})
    sentence = f"{alias} does not offer the model {name!r} here; it offers {', '.join(known)}."
    return RealtimeError("bad_request", sentence, field="model")
