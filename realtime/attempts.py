"""Which deployment is asked, which one next, and when it is enough: the tries of one generation.

A try is followed by another only while nothing was said. Whoever has read half a sentence cannot be given another one.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from .deployments import Deployment
from .errors import ERRORS, RealtimeError
from .places import Places, Told
from .prompt import Prompt

# Another key, or another provider's model of the same alias, may do; this deployment will not.
_SPENT = frozenset({"upstream_auth", "upstream_not_found"})
# The prompt is at fault, and whoever is asked will say so.
_FINAL = frozenset({"upstream_invalid", "timeout_total"})


class RetryRules(msgspec.Struct, frozen=True):
    """When a failed try is followed by another one.

    Attributes:
        attempts: In all, where one deployment is asked again; those of an alias are each asked once in any case.
        backoff_s: Before a deployment is asked again; doubled each time, and each time a random share of it.
        longest_backoff_s: No wait is longer.
        longest_retry_after_s: A provider that asks for a longer wait is not waited for.
        share: Of all generations, how many more tries there may be.
        least: Tries that are always there, however few generations there were.
    """

    attempts: int = 3
    backoff_s: float = 0.5
    longest_backoff_s: float = 8.0
    longest_retry_after_s: float = 10.0
    share: float = 0.2
    least: int = 10


class RetryBudget:
    """Bounds what retries add to the load of providers that fail because of it."""

    def __init__(self, rules: RetryRules) -> None:
        self._most = rules.least * 10.0
        self._share = rules.share
        self._left = float(rules.least)

    def earn(self) -> None:
        """A generation began."""
        self._left = min(self._left + self._share, self._most)

    def spend(self) -> bool:
        """Whether there may be another try."""
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Target(NamedTuple):
    """A deployment, and the prompt as it is put to it: with its own name for the model."""

    deployment: Deployment
    prompt: Prompt


class Attempts:
    """The tries of one generation.

    Args:
        tiers: Who may be asked. Within a tier all are equal, the first tier is preferred to the second, and so on.

    Attributes:
        count: Tries so far.
        wait_s: Before the next one.
    """

    def __init__(
        self,
        tiers: Sequence[Sequence[Target]],
        *,
        places: Places,
        rules: RetryRules,
        budget: RetryBudget,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self._tiers = [list(tier) for tier in tiers if tier]
        self._most = max(rules.attempts, sum(map(len, self._tiers)))
        self._places = places
        self._rules = rules
        self._budget = budget
        self._rand = rand
        self._tried: set[Deployment] = set()
        self.wait_s = 0.0
        self.count = 0

    async def next(self, told: Told) -> Target:
        """Wait until it is time, and take a place; the caller gives it back with `over`.

        Raises:
            RealtimeError: `overloaded` when the line for a place is full, `upstream_overloaded` when everyone that
                could be asked failed too often lately.
        """
        if self.wait_s:
            await asyncio.sleep(self.wait_s)
            self.wait_s = 0.0
        if not self.count:
            self._budget.earn()
        candidates = self._candidates()
        chosen = await self._places.take([target.deployment for target in candidates], told)
        self.count += 1
        self._tried.add(chosen)
        chosen.breaker.let_through()
        return next(target for target in candidates if target.deployment is chosen)

    def over(self, target: Target, error: RealtimeError | None, *, said: bool) -> None:
        """Give the place back, and learn how it went.

        Args:
            error: Why it failed; None when it did not, or was interrupted.
            said: Whether there was content.
        """
        deployment = target.deployment
        if error is not None:
            deployment.note_failure(error)
        elif said:
            deployment.breaker.succeeded()
        else:
            deployment.breaker.abandoned()
        self._places.give_back(deployment)

    def may_follow(self, target: Target, error: RealtimeError) -> bool:
        """Whether there is another try after this one failed before it said anything."""
        if error.code in _FINAL or ERRORS[error.code].blame != "upstream" or self.count >= self._most:
            return False
        if error.code in _SPENT:
            self._tiers = [[other for other in tier if other is not target] for tier in self._tiers]
        open_s = [target.deployment.breaker.opens_in_s for target in self._untried()]
        if not any(opens_in_s == 0.0 for opens_in_s in open_s):
            # Nobody new can be asked: one of those that were, after a while, if it will be listening by then.
            self.wait_s = self._backoff_s(error)
            open_s = [target.deployment.breaker.opens_in_s for tier in self._tiers for target in tier]
            if self.count >= self._rules.attempts or self.wait_s > self._rules.longest_retry_after_s:
                return False
            if not any(opens_in_s <= self.wait_s for opens_in_s in open_s):
                return False
        return self._budget.spend()

    def _untried(self) -> list[Target]:
        return [target for tier in self._tiers for target in tier if target.deployment not in self._tried]

    def _backoff_s(self, error: RealtimeError) -> float:
        """A random share more, so that all who failed together do not come back together."""
        asked_s, rules = error.error.retry_after_s, self._rules
        doubled_s = min(rules.backoff_s * 2.0 ** (self.count - 1), rules.longest_backoff_s)
        return doubled_s * (0.5 + self._rand() / 2) if asked_s is None else asked_s + self._rand() * rules.backoff_s

    def _candidates(self) -> list[Target]:
        """Who may be asked now: the first tier with someone new in it, or else those that were asked before."""
        again: list[Target] = []
        for tier in self._tiers:
            admitted = [target for target in tier if target.deployment.breaker.admits]
            fresh = [target for target in admitted if target.deployment not in self._tried]
            if fresh:
                return fresh
            again = again or admitted
        if again:
            return again
        soonest_s = min(target.deployment.breaker.opens_in_s for tier in self._tiers for target in tier)
        message = "Whoever could be asked has failed too often lately."
        raise RealtimeError("upstream_overloaded", message, retry_after_s=max(1.0, soonest_s))
