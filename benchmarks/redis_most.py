"""The highest rate of `redis`: how many generations a worker carries with its logs in memory, and in Redis."""

from collections.abc import Callable, Sequence

from .gateway_case import RATE, GatewayCase
from .load import Observed
from .plan import Plan
from .redis_process import Redis
from .report import Check, Figure, Row, Table
from .rounds import Runs, warnings

_STEPS = range(100, 1001, 25)
_STEPS_QUICK = range(100, 601, 250)
_STARTS_PER_S = 100
_WARM_S = 2.0
# To keep a rate is to deliver what arrives, and in time: one that joins what is late into fewer writes would deliver
# all of much more. `core` allows as much.
_KEPT, _LATE_MS = 0.99, 60
# A moment in which the machine did something else is no rate that is not kept.
_TRIES = 2

_EMBEDDED, _REDIS = "ours, embedded", "ours, Redis"


def table(plan: Plan) -> Table:
    """See the module."""
    kept = {name: _highest(plan, name, case) for name, case in {_EMBEDDED: _embedded, _REDIS: _over_redis}.items()}
    most = {name: runs.median(lambda one: one.rate) for name, runs in kept.items()}
    return Table(
        name=f"redis: the most generations of {RATE}/s each that a worker keeps up with",
        baseline="what a worker carries that keeps its logs in memory",
        rows=[Row(name, most[name] / most[_EMBEDDED], _figures(runs)) for name, runs in kept.items()],
        checks=[
            Check(
                "throughput of a worker, Redis / embedded",
                most[_REDIS] / most[_EMBEDDED],
                0.5,
                at_most=False,
                goal=0.85,
                figure="ratio",
                cases=(_REDIS,),
            )
        ],
        notes=[
            f"Found by halving, to {_STEPS.step} generations; kept is {_KEPT:.0%} of the rate, p99 ≤ {_LATE_MS} ms.",
            "Redis, the model and the client share the last core; where that is full, the worker could carry more.",
            *warnings(kept),
        ],
    )


def _highest(plan: Plan, name: str, case: Callable[[int, float], Observed]) -> Runs:
    """The window of the most that was kept; that of the fewest, where nothing was."""
    steps: Sequence[int] = _STEPS_QUICK if plan.quick else _STEPS
    low, high, best = 0, len(steps), None
    while low < high:
        middle = (low + high) // 2
        plan.say(f"redis, most: {name}, {steps[middle]}")
        tries = (case(steps[middle], plan.window_s) for _ in range(_TRIES))
        kept = next((seen for seen in tries if _is_kept(seen, steps[middle])), None)
        if kept is None:
            high = middle
        else:
            low, best = middle + 1, kept
    return Runs([best or case(steps[0], plan.window_s)])


def _is_kept(seen: Observed, generations: int) -> bool:
    return seen.rate >= _KEPT * generations * RATE and Runs([seen]).age_ms(0.99) <= _LATE_MS


def _embedded(generations: int, window_s: float) -> Observed:
    return _gateway(generations, window_s, {})


def _over_redis(generations: int, window_s: float) -> Observed:
    with Redis() as redis:
        return _gateway(generations, window_s, redis.env)


def _gateway(generations: int, window_s: float, env: dict[str, str]) -> Observed:
    spread_s = generations / _STARTS_PER_S
    case = GatewayCase(generations, spread_s=spread_s, warm_s=_WARM_S, window_s=window_s, env=env)
    return case.named(("ours",))["ours"]()


def _figures(runs: Runs) -> dict[str, Figure]:
    return {
        "tokens/s": runs.median(lambda one: one.rate),
        "CPU µs/token": runs.cost_us(),
        "p50 ms": runs.age_ms(0.5),
        "p99 ms": runs.age_ms(0.99),
        **runs.about(),
    }
