"""`redis`: what it costs to keep logs in Redis beside keeping them in the process, and what Redis itself spends.

One worker on a core of its own, from a model's socket to one observer's for each generation, as in `gateway`; then with
a Redis between. The difference is the bus.
"""

from collections.abc import Iterable
from statistics import median
from typing import NamedTuple

from . import redis_memory, redis_most, redis_stop
from .environments import NotInstalledError
from .gateway_case import RATE, GatewayCase
from .load import Observed
from .plan import Plan
from .redis_process import Redis
from .report import Check, Figure, Row, Table
from .rounds import Runs, rows, take_turns, warnings

_GENERATIONS = 100
_STARTS_PER_S = 100
_WARM_S = 1.0

_EMBEDDED, _REDIS = "ours, embedded", "ours, Redis"
_RATIO = "CPU of a token, embedded / Redis"


def run(plan: Plan) -> Iterable[Table]:
    """The cost at a rate that both keep, the most that each keeps, the stops of two workers, and what Redis holds."""
    yield _steady(plan)
    try:
        yield redis_most.table(plan)
        yield redis_stop.table(plan)
        yield redis_memory.table(plan)
    except NotInstalledError as error:
        plan.say(f"not installed: {error}")


class _Spent(NamedTuple):
    """Of Redis, for each token that arrived."""

    cpu_us: float
    script_us: float
    reads: float


class _Case:
    """Both buses, and what Redis has spent in each window."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._spent: list[_Spent] = []

    def embedded(self) -> Observed:
        return self._gateway(None)

    def over_redis(self) -> Observed:
        with Redis() as redis:
            seen = self._gateway(redis)
            spent = redis.spent
        tokens = max(seen.tokens, 1)
        self._spent.append(_Spent(spent.cpu_us / tokens, spent.script_us / tokens, spent.reads / tokens))
        return seen

    @property
    def spent(self) -> _Spent:
        """The middle one of all windows."""
        return _Spent(*(median(figure) for figure in zip(*self._spent, strict=True)))

    def _gateway(self, redis: Redis | None) -> Observed:
        env, look = (None, None) if redis is None else (redis.env, redis.look)
        spread_s = _GENERATIONS / _STARTS_PER_S
        window_s = self._window_s
        case = GatewayCase(_GENERATIONS, spread_s=spread_s, warm_s=_WARM_S, window_s=window_s, env=env, look=look)
        return case.named(("ours",))["ours"]()


def _steady(plan: Plan) -> Table:
    case = _Case(plan.window_s)
    runs = take_turns("redis", {_EMBEDDED: case.embedded, _REDIS: case.over_redis}, plan)
    embedded, redis = runs[_EMBEDDED], runs[_REDIS]
    shown, checks = rows(runs, embedded, _figures), []
    if redis.installed:
        spent = case.spent
        figures: dict[str, Figure] = {
            "flushes/token": spent.reads,
            "Redis µs/token": spent.cpu_us,
            "in scripts": spent.script_us,
        }
        shown = [Row(row.case, row.ratio, row.figures | figures) if row.case == _REDIS else row for row in shown]
        checks = _checks(embedded, redis, spent)
    return Table(
        name=f"redis: {_GENERATIONS} generations, {RATE}/s each",
        baseline="the CPU per token of the server that keeps its logs in memory",
        rows=shown,
        checks=checks,
        notes=[
            "The worker has the first core; Redis, the model and the client share the last one.",
            "A flush is a read of Redis's sockets. Its CPU is the scheduler's account; in scripts, its own.",
            *warnings(runs),
        ],
    )


def _checks(embedded: Runs, redis: Runs, spent: _Spent) -> list[Check]:
    added = {share: redis.age_ms(share) - embedded.age_ms(share) for share in (0.5, 0.99)}
    return [
        Check("delivered share of the rate, Redis", redis.share(_GENERATIONS * RATE), 0.99, at_most=False),
        Check(_RATIO, 1 / redis.ratio(embedded), 0.5, at_most=False, goal=0.85),
        Check("network flushes per token, Redis", spent.reads, 0.1),
        Check("p50 ms, Redis - embedded", added[0.5], 3, goal=1),
        Check("p99 ms, Redis - embedded", added[0.99], 15, goal=5),
    ]


def _figures(runs: Runs) -> dict[str, Figure]:
    return {
        "delivered %": 100 * runs.share(_GENERATIONS * RATE),
        "CPU µs/token": runs.cost_us(),
        "p50 ms": runs.age_ms(0.5),
        "p99 ms": runs.age_ms(0.99),
        **runs.about(),
    }
