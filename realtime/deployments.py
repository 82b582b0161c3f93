"""What generations are given to: a provider under one key, what may run on it at once, and how it is doing."""

import asyncio
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Literal

from .breaker import Breaker, BreakerRules
from .errors import RealtimeError
from .policy import Deadlines
from .prices import Prices
from .providers.base import Provider

# What the next one would meet too. A refused key or an unknown model fails at once and costs nothing to try, and what
# one prompt did to a provider says nothing of the next.
_UNWELL = frozenset(
    {
        "timeout_connect",
        "timeout_first_event",
        "timeout_idle",
        "upstream_overloaded",
        "upstream_protocol",
        "upstream_truncated",
        "upstream_unreachable",
    }
)
# A provider that asks for longer is asked again after it all the same; it may have meant one of many limits.
_LONGEST_PAUSE_S = 60.0

OnStop = Literal["abort", "drain"]


class Deployment:
    """One of the places that an alias's generations run at.

    Args:
        alias: Of the provider, for the wire and the accounts.
        name: Tells the deployments of one alias apart, in logs and metrics.
        models: Which models may be asked for: patterns, each with the provider's own name for what it matches, or ""
            for the name as it was asked for. All, as they are asked for, when None.
        max_live: Generations at once; None for no bound of its own.
        deadlines: Of this provider, where they are shorter than the server's.
        prices: By pattern of the provider's own model names; the first that fits.
        on_stop: `abort` closes the connection, which with most providers ends the bill. `drain` reads on to the end,
            for the figures of one that bills in full anyhow.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        alias: str,
        name: str = "default",
        models: Mapping[str, str] | None = None,
        max_live: int | None = None,
        deadlines: Deadlines | None = None,
        prices: Mapping[str, Prices] | None = None,
        on_stop: OnStop = "abort",
        breaker: BreakerRules | None = None,
    ) -> None:
        self.provider = provider
        self.alias = alias
        self.name = name
        self.max_live = max_live
        self.deadlines = deadlines
        self.on_stop: OnStop = on_stop
        self.live = 0
        self._models = models
        self._prices = prices or {}
        self.breaker = Breaker(breaker or BreakerRules(), now=lambda: asyncio.get_running_loop().time())

    def __repr__(self) -> str:
        return f"<Deployment {self.alias}:{self.name} live={self.live} circuit={self.breaker.circuit}>"

    @property
    def has_room(self) -> bool:
        """Whether one more may run here."""
        return self.max_live is None or self.live < self.max_live

    @property
    def load(self) -> float:
        """How busy it is: a share of its bound where it has one, so that a small one is not given as much as a large
        one; and fewer than any share when there is none."""
        return self.live / self.max_live if self.max_live else self.live / 1e6

    def own_name(self, model: str) -> str | None:
        """The provider's name for a model that was asked for; None when it is not offered here."""
        if self._models is None:
            return model
        for pattern, own in self._models.items():
            if fnmatchcase(model, pattern):
                return own or model
        return None

    def patterns(self) -> Sequence[str] | None:
        """What may be asked for, where that is bounded."""
        return None if self._models is None else tuple(self._models)

    def prices(self, own_name: str) -> Prices | None:
        """What a model's tokens cost here; None when nobody has said."""
        return next((prices for pattern, prices in self._prices.items() if fnmatchcase(own_name, pattern)), None)

    def note_failure(self, error: RealtimeError) -> None:
        """Learn from how a generation failed here."""
        retry_after_s = error.error.retry_after_s
        if error.code == "upstream_rate_limited" and retry_after_s is not None:
            self.breaker.pause(min(retry_after_s, _LONGEST_PAUSE_S))
        elif error.code in _UNWELL:
            self.breaker.failed()
        else:
            self.breaker.abandoned()
