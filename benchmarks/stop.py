"""`stop`: from the wish to the provider's closed socket, and to the last observer that is told."""

from collections.abc import Callable, Iterable

from . import stop_observers
from .clients import stops
from .plan import Plan
from .processes import Server
from .report import Check, Table, noise, percentile
from .requests import http_request
from .stoppable import RATE, SERVE, closing_upstream, provider
from .stopping import GENERATIONS, START, STOP, Case, Stops, stop_many

# What the tutorial can carry: at the rate of the others it is so far behind that it notices nothing.
_RATE_TUTORIAL = 5

_DRAWN, _OURS = "p99 ms", ("ours",)


def run(plan: Plan) -> Iterable[Table]:
    """The provider first, because it bills; then the observers."""
    yield _upstream(plan)
    yield stop_observers.table(plan)


def _upstream(plan: Plan) -> Table:
    slow = f"tutorial, leaving, {_RATE_TUTORIAL}/s"
    cases: dict[str, Callable[[], Case]] = {
        "no server": lambda: _direct(plan),
        "ours": lambda: _ours(plan),
        "tutorial, leaving": lambda: _tutorial(plan, RATE),
        slow: lambda: _tutorial(plan, _RATE_TUTORIAL),
    }
    seen: dict[str, Stops] = {}
    for name, case in plan.some(cases, ("no server", "ours", slow)).items():
        # Only our own percentile is held to a floor; the others need no third round to be what they are.
        for _ in range(plan.rounds if name == "ours" else 1):
            plan.say(f"stop {GENERATIONS}: {name}")
            seen.setdefault(name, Stops()).add(*case())
    ours = seen["ours"]
    return Table(
        name=f"stop: one of {GENERATIONS} generations, {RATE}/s each, until its upstream sees the close",
        drawn=_DRAWN,
        baseline="the median of “no server”: the client leaves the upstream itself, which is what the harness adds",
        rows=[one.row(name, seen["no server"]) for name, one in seen.items()],
        checks=[
            Check(
                "p99 ms from the stop to the closed upstream, ours",
                percentile(ours.all, 0.99),
                25,
                goal=5,
                figure=_DRAWN,
                cases=_OURS,
            ),
            Check("stops that closed nothing, ours", ours.unclosed, 0),
        ],
        notes=[
            "The tutorial's one stop is that its only client leaves.",
            f"What is not closed {stops.SETTLE_S:g} s after the last stop counts as that late.",
            *noise({name: max(one.waited) for name, one in seen.items()}),
        ],
    )


def _direct(plan: Plan) -> Case:
    with closing_upstream(RATE) as upstream:
        body: dict[str, object] = {"messages": [{"role": "user", "content": stops.NAME}]}
        return stop_many(plan, upstream, upstream, "/v1/chat/completions", body)


def _ours(plan: Plan) -> Case:
    with closing_upstream(RATE) as upstream, Server(*SERVE, env=provider(upstream)) as server:
        return stop_many(plan, upstream, server, "/v1/generations", START, http_request("POST", STOP, server.port))


def _tutorial(plan: Plan, rate: float) -> Case:
    with closing_upstream(rate) as upstream:
        url = f"http://127.0.0.1:{upstream.port}/v1"
        with Server("benchmarks.servers.tutorial", "gateway", "{port}", url) as server:
            return stop_many(plan, upstream, server, "/chat", {"prompt": stops.NAME})
