"""The stops of `redis`: asked of a process that does not drive the generation, with messages and without."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from .clients import stops
from .plan import Plan
from .processes import Server
from .redis_process import Redis
from .report import Check, Table, noise, percentile
from .requests import http_request
from .stoppable import RATE, SERVE, closing_upstream, provider
from .stopping import GENERATIONS, START, STOP, Case, Stops, stop_many

_DRAWN = "p99 ms"
# After their first token the models say nothing for ten seconds, so nothing that is written asks for the stop either.
_SILENT_RATE = 0.1
# A renewal, and more.
_SETTLE_S = 4.5

_ALONE, _OTHER, _DEAF = "ours, one process", "ours, asked elsewhere", "ours, asked elsewhere, no messages"


def table(plan: Plan) -> Table:
    """See the module."""
    # By case: how to make it, what a stop that closes nothing counts as, and whether a percentile of it is wanted.
    cases: dict[str, _Way] = {
        _ALONE: _Way(lambda: _alone(plan), stops.SETTLE_S, once=True),
        _OTHER: _Way(lambda: _elsewhere(plan), stops.SETTLE_S, once=False),
        _DEAF: _Way(lambda: _unheard(plan), _SETTLE_S, once=True),
    }
    seen: dict[str, Stops] = {}
    for name, way in cases.items():
        seen[name] = Stops(way.settle_s)
        for _ in range(1 if way.once else plan.rounds):
            plan.say(f"redis, stop {GENERATIONS}: {name}")
            seen[name].add(*way.run())
    limits = {_OTHER: (100.0, 25.0), _DEAF: (3500.0, None)}
    return Table(
        name=f"redis: one of {GENERATIONS} generations is stopped, {RATE}/s each, until its upstream sees the close",
        drawn=_DRAWN,
        baseline="the median of one process with its logs in memory",
        rows=[one.row(name, seen[_ALONE]) for name, one in seen.items()],
        checks=[
            *(
                Check(
                    f"p99 ms from the stop to the closed upstream, {name}",
                    percentile(seen[name].all, 0.99),
                    limit,
                    goal=goal,
                    figure=_DRAWN,
                    cases=(name,),
                )
                for name, (limit, goal) in limits.items()
            ),
            Check("stops that closed nothing", sum(one.unclosed for one in seen.values()), 0),
        ],
        notes=[
            "Both processes are on the first core, Redis, the models and the client on the last one.",
            "Without messages nobody may listen to Redis, and the models are silent: a stop is in a lease's renewal.",
            *noise({name: max(one.waited) for name, one in seen.items()}),
        ],
    )


class _Way(NamedTuple):
    run: Callable[[], Case]
    settle_s: float
    once: bool


def _alone(plan: Plan) -> Case:
    with closing_upstream(RATE) as upstream, Server(*SERVE, env=provider(upstream)) as server:
        return stop_many(plan, upstream, server, "/v1/generations", START, http_request("POST", STOP, server.port))


def _elsewhere(plan: Plan) -> Case:
    with _two(RATE) as workers:
        return _ask(plan, workers, stops.SETTLE_S)


def _unheard(plan: Plan) -> Case:
    with _two(_SILENT_RATE) as workers:
        workers.redis.deafen()
        return _ask(plan, workers, _SETTLE_S)


class _Workers(NamedTuple):
    redis: Redis
    upstream: Server
    driving: Server
    asked: Server


@contextmanager
def _two(rate: float) -> Iterator[_Workers]:
    """Two processes on one Redis."""
    with ExitStack() as stack:
        redis = stack.enter_context(Redis())
        upstream = stack.enter_context(closing_upstream(rate))
        env = provider(upstream) | redis.env
        driving, asked = (stack.enter_context(Server(*SERVE, env=env)) for _ in range(2))
        yield _Workers(redis, upstream, driving, asked)


def _ask(plan: Plan, workers: _Workers, settle_s: float) -> Case:
    _, upstream, driving, asked = workers
    stop = http_request("POST", STOP, asked.port)
    return stop_many(plan, upstream, driving, "/v1/generations", START, stop, asked=asked, settle_s=settle_s)
