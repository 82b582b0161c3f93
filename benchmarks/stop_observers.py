"""The half of `stop` that people see: from the wish to the last of many observers who is told."""

import msgspec

from .clients import told
from .clients.asking import ask
from .plan import Plan
from .processes import Server
from .report import Check, Figure, Row, Table, percentile
from .requests import http_request
from .stoppable import RATE, SERVE, closing_upstream, provider

_DRAWN, _OURS = "p99 ms", ("ours",)
_OBSERVERS = 100
_REPEATS, _REPEATS_QUICK = 40, 10
# Longer than anyone looks.
_LONG_S = 600


def table(plan: Plan) -> Table:
    """See the module."""
    repeats = _REPEATS_QUICK if plan.quick else _REPEATS
    plan.say(f"stop, {_OBSERVERS} observers: bare loop")
    bare = _tell_bare(repeats)
    plan.say(f"stop, {_OBSERVERS} observers: ours")
    ours = _tell_ours(repeats)
    return Table(
        name=f"stop: the last of {_OBSERVERS} observers of one generation is told, {RATE}/s",
        drawn=_DRAWN,
        baseline="the median of a bare loop that writes one frame to every transport",
        rows=[
            _told_row("bare loop", bare, bare),
            _told_row("ours", ours, bare),
            Row("tutorial", None, {_DRAWN: "has none"}),
        ],
        checks=[
            Check(
                "p99 ms from the stop to the last observer, ours",
                percentile(ours.last, 0.99),
                50,
                goal=20,
                figure=_DRAWN,
                cases=_OURS,
            )
        ],
        notes=["The tutorial has no stop that observers could be told of: a generation is its client's request."],
    )


def _told_row(name: str, seen: told.Told, baseline: told.Told) -> Row:
    p50 = percentile(seen.last, 0.5)
    figures: dict[str, Figure] = {
        "p50 ms": p50,
        "p99 ms": percentile(seen.last, 0.99),
        "max ms": percentile(seen.last, 1.0),
        "all observers p50 ms": percentile(seen.each, 0.5),
        "stops": sum(seen.last.values()),
    }
    return Row(name, p50 / percentile(baseline.last, 0.5), figures)


def _tell_bare(repeats: int) -> told.Told:
    arguments = ("{port}", str(_OBSERVERS), str(RATE), str(_LONG_S))
    with Server("benchmarks.servers.bare", *arguments) as server:
        request = http_request("GET", "/", server.port)
        job = told.Job(
            port=server.port, observers=_OBSERVERS, repeats=repeats, start="", body=b"", observe=request, stop="/"
        )
        return ask("told", job, told.Told, job.longest_s)


def _tell_ours(repeats: int) -> told.Told:
    with closing_upstream(RATE) as upstream, Server(*SERVE, env=provider(upstream)) as server:
        job = told.Job(
            port=server.port,
            observers=_OBSERVERS,
            repeats=repeats,
            start="/v1/generations",
            body=msgspec.json.encode({"model": "openai/benchmark", "prompt": "Say it."}),
            observe=http_request("GET", "/v1/generations/@/events", server.port),
            stop="/v1/generations/@/stop",
        )
        return ask("told", job, told.Told, job.longest_s)
