"""`gateway`: many generations at once, each from a model's socket through the server to one observer's."""

from collections.abc import Callable, Iterable

from .load import Job, Observed
from .machine import CLIENT_CORE
from .plan import Plan
from .processes import Server, http_request, observe
from .report import Check, Figure, Row, Table
from .rounds import Runs, take_turns, warnings

_RATE = 50
_FEW, _MANY = 100, 300
# Starting a generation costs milliseconds; all at once would be another benchmark.
_STARTS_PER_S = 100
_WARM_S = 1.0
_SPARE_S = 5.0


def run(plan: Plan) -> Iterable[Table]:
    """A hundred generations, which is about what the tutorial can carry; then three times as many."""
    if not plan.quick:
        yield _table(_FEW, plan)
    yield _table(_MANY, plan)


def _table(generations: int, plan: Plan) -> Table:
    case = _Case(generations, plan.window_s)
    cases: dict[str, Callable[[], Observed]] = {"no server": case.direct, "ours": case.ours, "tutorial": case.tutorial}
    runs = take_turns(f"gateway {generations}", cases, plan)
    ours, tutorial = runs["ours"], runs["tutorial"]
    due_per_s = generations * _RATE
    checks = [
        Check("delivered share of the rate, ours", ours.share(due_per_s), 0.99, at_most=False),
        Check("CPU per token, ours / tutorial", ours.ratio(tutorial), 1 / 3),
    ]
    return Table(
        name=f"gateway: {generations} generations, {_RATE}/s each",
        baseline="the CPU per token of the tutorial's server",
        rows=[
            Row("no server", None, _figures(runs["no server"], due_per_s) | {"CPU µs/token": None, "RSS MB": None}),
            *(Row(name, runs[name].ratio(tutorial), _figures(runs[name], due_per_s)) for name in ("ours", "tutorial")),
        ],
        checks=checks if generations == _MANY else (),
        notes=[
            "“No server” is the client straight on the upstream: what the harness itself adds to the latencies.",
            *warnings(runs),
        ],
    )


def _figures(runs: Runs, due_per_s: float) -> dict[str, Figure]:
    return {
        "delivered %": 100 * runs.share(due_per_s),
        "CPU µs/token": runs.cost_us(),
        "p50 ms": runs.age_ms(0.5),
        "p99 ms": runs.age_ms(0.99),
        "first p50 ms": runs.first_ms(0.5),
        "first p99 ms": runs.first_ms(0.99),
        "silent": runs.median(lambda one: one.silent),
        **runs.about(),
    }


class _Case:
    """Each way between the upstream and so many observers, in fresh processes."""

    def __init__(self, generations: int, window_s: float) -> None:
        self._generations = generations
        self._window_s = window_s
        self._spread_s = generations / _STARTS_PER_S
        tokens = int(_RATE * (self._spread_s + _WARM_S + window_s + _SPARE_S))
        self._upstream = ("benchmarks.servers.upstream", "{port}", str(_RATE), str(tokens))

    def direct(self) -> Observed:
        with Server(*self._upstream, core=CLIENT_CORE) as upstream:
            return self._observe(upstream, "/v1/chat/completions", {})

    def ours(self) -> Observed:
        with Server(*self._upstream, core=CLIENT_CORE) as upstream:
            env = {"OPENAI_BASE_URL": f"http://127.0.0.1:{upstream.port}/v1", "OPENAI_API_KEY": "unused"}
            with Server("realtime", "serve", "--port", "{port}", "--log-level", "warning", env=env) as server:
                body = {"model": "openai/benchmark", "prompt": "Say it.", "stream": True}
                return self._observe(server, "/v1/generations", body)

    def tutorial(self) -> Observed:
        with Server(*self._upstream, core=CLIENT_CORE) as upstream:
            url = f"http://127.0.0.1:{upstream.port}/v1"
            with Server("benchmarks.servers.tutorial", "gateway", "{port}", url) as server:
                return self._observe(server, "/chat", {"prompt": "Say it."})

    def _observe(self, server: Server, path: str, body: dict[str, object]) -> Observed:
        return observe(
            Job(
                port=server.port,
                pid=server.pid,
                connections=self._generations,
                request=http_request("POST", path, server.port, body),
                spread_s=self._spread_s,
                warm_s=_WARM_S,
                window_s=self._window_s,
            )
        )
