"""`stop`: from the wish to the provider's closed socket, and to the last observer that is told."""

import http.client
from collections.abc import Callable, Iterable, Mapping

import msgspec

from . import stop_observers
from .clients import stops
from .clients.asking import ask
from .plan import Plan
from .processes import Server
from .report import BUCKET_US, Check, Figure, Row, Table, noise, percentile
from .requests import http_request
from .stoppable import RATE, SERVE, closing_upstream, provider

_GENERATIONS = 200
# What the tutorial can carry: at the rate of the others it is so far behind that it notices nothing.
_RATE_TUTORIAL = 5
_STARTS_PER_S, _STARTS_PER_S_QUICK = 100, 200
_STOPS, _STOPS_QUICK = 200, 40
_EVERY_S = 0.025

_DRAWN, _OURS = "p99 ms", ("ours",)
_START: dict[str, object] = {"model": "openai/benchmark", "prompt": stops.NAME, "stream": True}


def run(plan: Plan) -> Iterable[Table]:
    """The provider first, because it bills; then the observers."""
    yield _upstream(plan)
    yield stop_observers.table(plan)


class _Seen:
    """The stops of one case, of all rounds."""

    def __init__(self) -> None:
        self.stops = 0
        self.closed: dict[int, int] = {}
        self.told: dict[int, int] = {}
        self.live: list[int] = []
        self.late_us: list[int] = []
        self.waited: list[float] = []
        self.busy: list[float] = []

    def add(self, asked: stops.Asked, closed_us: Mapping[str, int]) -> None:
        self.stops += len(asked.sent_us)
        self.live.append(asked.live)
        self.late_us.append(asked.late_us)
        self.waited.append(asked.waited)
        self.busy.append(asked.busy)
        for prompt, sent_us in asked.sent_us.items():
            for when, seen in ((closed_us, self.closed), (asked.told_us, self.told)):
                if prompt in when:
                    bucket = max(0, when[prompt] - sent_us) // BUCKET_US
                    seen[bucket] = seen.get(bucket, 0) + 1

    @property
    def all(self) -> dict[int, int]:
        """Every stop; one that closed nothing is as late as this run could see."""
        seen = dict(self.closed)
        if self.unclosed:
            never = int(stops.SETTLE_S * 1e6) // BUCKET_US
            seen[never] = seen.get(never, 0) + self.unclosed
        return seen

    @property
    def unclosed(self) -> int:
        return self.stops - sum(self.closed.values())

    def row(self, name: str, baseline: "_Seen") -> Row:
        p50 = percentile(self.all, 0.5)
        figures: dict[str, Figure] = {
            "p50 ms": p50,
            "p99 ms": percentile(self.all, 0.99),
            "max ms": percentile(self.all, 1.0),
            "stops": self.stops,
            "not closed": self.unclosed,
            "observer told p99 ms": percentile(self.told, 0.99) if self.told else None,
            "live": min(self.live),
            "client late ms": max(self.late_us) / 1000,
            "waited %": 100 * max(self.waited),
            "client busy %": 100 * max(self.busy),
        }
        return Row(name, p50 / percentile(baseline.all, 0.5), figures)


def _upstream(plan: Plan) -> Table:
    slow = f"tutorial, leaving, {_RATE_TUTORIAL}/s"
    cases: dict[str, Callable[[], _Case]] = {
        "no server": lambda: _direct(plan),
        "ours": lambda: _ours(plan),
        "tutorial, leaving": lambda: _tutorial(plan, RATE),
        slow: lambda: _tutorial(plan, _RATE_TUTORIAL),
    }
    seen: dict[str, _Seen] = {}
    for name, case in plan.some(cases, ("no server", "ours", slow)).items():
        # Only our own percentile is held to a floor; the others need no third round to be what they are.
        for _ in range(plan.rounds if name == "ours" else 1):
            plan.say(f"stop {_GENERATIONS}: {name}")
            seen.setdefault(name, _Seen()).add(*case())
    ours = seen["ours"]
    return Table(
        name=f"stop: one of {_GENERATIONS} generations, {RATE}/s each, until its upstream sees the close",
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


_Case = tuple[stops.Asked, dict[str, int]]


def _direct(plan: Plan) -> _Case:
    with closing_upstream(RATE) as upstream:
        body: dict[str, object] = {"messages": [{"role": "user", "content": stops.NAME}]}
        return _stop_many(plan, upstream, upstream, "/v1/chat/completions", body)


def _ours(plan: Plan) -> _Case:
    with closing_upstream(RATE) as upstream, Server(*SERVE, env=provider(upstream)) as server:
        stop = http_request("POST", f"/v1/generations/{stops.NAME}/stop", server.port)
        return _stop_many(plan, upstream, server, "/v1/generations", _START, stop)


def _tutorial(plan: Plan, rate: float) -> _Case:
    with closing_upstream(rate) as upstream:
        url = f"http://127.0.0.1:{upstream.port}/v1"
        with Server("benchmarks.servers.tutorial", "gateway", "{port}", url) as server:
            return _stop_many(plan, upstream, server, "/chat", {"prompt": stops.NAME})


def _stop_many(
    plan: Plan, upstream: Server, server: Server, path: str, body: dict[str, object], stop: bytes = b""
) -> _Case:
    job = stops.Job(
        port=server.port,
        pid=server.pid,
        generations=_GENERATIONS,
        start=http_request("POST", path, server.port, body),
        stop=stop,
        stops=_STOPS_QUICK if plan.quick else _STOPS,
        every_s=_EVERY_S,
        spread_s=_GENERATIONS / (_STARTS_PER_S_QUICK if plan.quick else _STARTS_PER_S),
        warm_s=0.5 if plan.quick else 1.0,
    )
    asked = ask("stops", job, stops.Asked, job.longest_s)
    connection = http.client.HTTPConnection("127.0.0.1", upstream.port, timeout=10)
    try:
        connection.request("GET", "/")
        return asked, msgspec.json.decode(connection.getresponse().read(), type=dict[str, int])
    finally:
        connection.close()
