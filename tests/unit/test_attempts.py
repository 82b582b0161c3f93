"""Who is asked, who is asked next, and when it is enough."""

from collections.abc import Sequence

import pytest

from realtime.attempts import Attempts, RetryBudget, RetryRules, Target
from realtime.breaker import BreakerRules
from realtime.deployments import Deployment
from realtime.errors import RealtimeError
from realtime.places import Places
from realtime.prompt import Message, Prompt
from tests.unit.scripted import ScriptedProvider

PROMPT = Prompt("m", (Message("user", "x"),))
OVERLOADED = RealtimeError("upstream_overloaded")
QUICK = RetryRules(attempts=3, backoff_s=0.0)


def deployment(name: str, max_live: int | None = None) -> Deployment:
    return Deployment(ScriptedProvider(), alias=name, max_live=max_live, breaker=BreakerRules(failures=3, pause_s=100))


def attempts(*tiers: Sequence[Deployment], rules: RetryRules = QUICK, budget: RetryBudget | None = None) -> Attempts:
    targets = [[Target(one, PROMPT) for one in tier] for tier in tiers]
    return Attempts(targets, places=Places(), rules=rules, budget=budget or RetryBudget(rules), rand=lambda: 0.0)


def unheard(_: int) -> None:
    """Told nothing."""


async def asked(tries: Attempts, *errors: RealtimeError) -> list[str]:
    """Who is asked when one after the other fails like this; the last one that is asked succeeds."""
    names = []
    for error in errors:
        target = await tries.next(unheard)
        names.append(target.deployment.alias)
        tries.over(target, error, said=False)
        if not tries.may_follow(target, error):
            return [*names, "enough"]
    target = await tries.next(unheard)
    tries.over(target, None, said=True)
    return [*names, target.deployment.alias]


async def test_a_single_deployment_is_asked_again() -> None:
    """So often as the rules say."""
    assert await asked(attempts([deployment("a")]), OVERLOADED, OVERLOADED) == ["a", "a", "a"]
    assert await asked(attempts([deployment("a")]), *[OVERLOADED] * 3) == ["a", "a", "a", "enough"]


async def test_others_come_before_the_same_again() -> None:
    """First its equals, then the next tier, each once."""
    a, b, c = (deployment(name) for name in "abc")
    assert await asked(attempts([a, b], [c]), OVERLOADED, OVERLOADED) == ["a", "b", "c"]


async def test_an_alias_asks_each_of_its_models() -> None:
    """Though there are more of them than tries of one."""
    many = [deployment(name) for name in "abcde"]
    assert await asked(attempts(*[[one] for one in many]), *[OVERLOADED] * 5) == [*"abcde", "enough"]


@pytest.mark.parametrize("code", ["upstream_invalid", "log_limit", "internal"])
async def test_what_nobody_else_could_do_better_is_final(code: str) -> None:
    """A prompt that is refused is refused by all; and our own failures are ours."""
    assert await asked(attempts([deployment("a"), deployment("b")]), RealtimeError(code)) == ["a", "enough"]


@pytest.mark.parametrize("code", ["upstream_auth", "upstream_not_found"])
async def test_a_refused_key_is_not_tried_again(code: str) -> None:
    """Another one is."""
    assert await asked(attempts([deployment("a")]), RealtimeError(code)) == ["a", "enough"]
    both = attempts([deployment("a"), deployment("b")])
    assert await asked(both, RealtimeError(code), OVERLOADED) == ["a", "b", "b"]


async def test_a_wait_that_is_too_long_is_not_waited_for() -> None:
    """The caller can decide better, and is told how long it would be."""
    slow = RealtimeError("upstream_rate_limited", retry_after_s=60)
    assert await asked(attempts([deployment("a")]), slow) == ["a", "enough"]
    assert await asked(attempts([deployment("a")], [deployment("b")]), slow) == ["a", "b"]


async def test_an_asked_for_pause_is_kept_by_all() -> None:
    """Another generation does not ask before it is over, while there is anybody else."""
    a, b = deployment("a"), deployment("b")
    assert await asked(attempts([a, b]), RealtimeError("upstream_rate_limited", retry_after_s=30)) == ["a", "b"]
    assert await asked(attempts([a, b])) == ["b"]


async def test_an_open_circuit_is_passed_by() -> None:
    """And when all are open nobody is asked at all."""
    a, b = deployment("a"), deployment("b")
    for _ in range(3):
        a.breaker.failed()
    assert await asked(attempts([a], [b])) == ["b"]
    for _ in range(3):
        b.breaker.failed()
    with pytest.raises(RealtimeError) as refused:
        await attempts([a], [b]).next(unheard)
    assert refused.value.code == "upstream_overloaded"
    assert refused.value.error.retry_after_s is not None


async def test_what_opened_the_circuit_is_what_is_said() -> None:
    """Not that it is open now."""
    rules = RetryRules(attempts=9, backoff_s=0.0)
    assert await asked(attempts([deployment("a")], rules=rules), *[OVERLOADED] * 3) == ["a", "a", "a", "enough"]


async def test_retries_are_budgeted() -> None:
    """Where everything fails, they add a fifth to the load and not twice as much."""
    rules = RetryRules(attempts=3, backoff_s=0.0, share=0.2, least=2)
    budget = RetryBudget(rules)
    tries = 0
    for _ in range(100):
        one = Deployment(ScriptedProvider(), alias="a")
        tries += len(await asked(attempts([one], rules=rules, budget=budget), *[OVERLOADED] * 3)) - 1
    assert 100 + 20 <= tries <= 100 + 20 + 2


async def test_backoff_doubles_and_is_bounded() -> None:
    """Half of it is random; a provider's own wish comes before it."""
    waits = []
    tries = attempts([deployment("a")], rules=RetryRules(attempts=9, backoff_s=0.001, longest_backoff_s=0.003))
    for _ in range(2):
        target = await tries.next(unheard)
        assert tries.may_follow(target, OVERLOADED)
        waits.append(tries.wait_s)
        tries.over(target, None, said=False)
    assert waits == [0.0005, 0.001]


async def test_places_come_back() -> None:
    """Whatever came of it."""
    one = deployment("a", max_live=1)
    for error in (None, OVERLOADED):
        tries = attempts([one])
        target = await tries.next(unheard)
        assert one.live == 1
        tries.over(target, error, said=False)
        assert one.live == 0
