"""`gateway`: many generations at once, each from a model's socket through the server to one observer's."""

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence

from .environments import need_nginx, python_of
from .load import Job, Observed
from .machine import CLIENT_CORE
from .plan import Plan
from .processes import Server, observe
from .report import Check, Figure, Row, Table
from .requests import http_request
from .rounds import Runs, rows, take_turns, warnings

_RATE = 50
# What a core carries: of LiteLLM's, of the tutorial's, a little more than that, and what ours must.
_LITELLM, _TUTORIAL, _FEW, _MANY = 32, 80, 100, 300
# Starting a generation costs milliseconds; all at once would be another benchmark.
_STARTS_PER_S = 100
_WARM_S = 1.0
_SPARE_S = 5.0
_CHAT = {"model": "benchmark", "messages": [{"role": "user", "content": "Say it."}], "stream": True}


def run(plan: Plan) -> Iterable[Table]:
    """The peers where each still keeps up, once; then what a core of ours must carry, in every round."""
    if not plan.quick:
        yield _once(_LITELLM, ("nginx", "ours", "LiteLLM", "tutorial"), plan)
        yield _once(_TUTORIAL, ("ours", "tutorial"), plan)
        yield _once(_FEW, ("no server", "nginx", "ours", "LiteLLM", "tutorial"), plan)
    yield _full(plan)


def _once(generations: int, names: Sequence[str], plan: Plan) -> Table:
    cases = _Case(generations, plan.window_s).named(names)
    return _table(generations, take_turns(f"gateway {generations}", cases, plan, once=names), ())


def _full(plan: Plan) -> Table:
    names = ["no server", "nginx", "ours", "LiteLLM", "tutorial"]
    if plan.quick:
        # It takes ten seconds to start.
        names.remove("LiteLLM")
    cases = _Case(_MANY, plan.window_s).named(names)
    runs = take_turns(f"gateway {_MANY}", cases, plan, once=("no server", "nginx", "LiteLLM"))
    ours = runs["ours"]
    checks = [
        Check("delivered share of the rate, ours", ours.share(_MANY * _RATE), 0.99, at_most=False),
        Check("CPU per token, ours / tutorial", ours.ratio(runs["tutorial"]), 1 / 3, figure="ratio", cases=("ours",)),
    ]
    return _table(_MANY, runs, checks)


def _table(generations: int, runs: Mapping[str, Runs], checks: Sequence[Check]) -> Table:
    def figures(one: Runs) -> dict[str, Figure]:
        return {
            "delivered %": 100 * one.share(generations * _RATE),
            "CPU µs/token": one.cost_us(),
            "p50 ms": one.age_ms(0.5),
            "p99 ms": one.age_ms(0.99),
            "first p50 ms": one.first_ms(0.5),
            "first p99 ms": one.first_ms(0.99),
            "silent": one.median(lambda seen: seen.silent),
            **one.about(),
        }

    served = {name: one for name, one in runs.items() if name != "no server"}
    shown = rows(served, runs["tutorial"], figures)
    notes = warnings(served)
    if "no server" in runs:
        nobody = dict.fromkeys(("CPU µs/token", "RSS MB", "server busy %", "waited %"))
        shown.insert(0, Row("no server", None, figures(runs["no server"]) | nobody))
        notes.insert(0, "“No server” is the client straight on the upstream: what the harness adds to the latencies.")
    return Table(
        name=f"gateway: {generations} generations, {_RATE}/s each",
        baseline="the CPU per token of the tutorial's server",
        rows=shown,
        checks=checks,
        notes=notes,
    )


class _Case:
    """Each way between the upstream and so many observers, in fresh processes."""

    def __init__(self, generations: int, window_s: float) -> None:
        self._generations = generations
        self._window_s = window_s
        self._spread_s = generations / _STARTS_PER_S
        tokens = int(_RATE * (self._spread_s + _WARM_S + window_s + _SPARE_S))
        self._upstream = ("benchmarks.servers.upstream", "{port}", str(_RATE), str(tokens))

    def named(self, names: Sequence[str]) -> dict[str, Callable[[], Observed]]:
        """Those of the cases."""
        known = {
            "no server": self._direct,
            "nginx": self._nginx,
            "ours": self._ours,
            "LiteLLM": self._litellm,
            "tutorial": self._tutorial,
        }
        return {name: known[name] for name in names}

    def _direct(self) -> Observed:
        with Server(*self._upstream, core=CLIENT_CORE) as upstream:
            return self._observe(upstream, "/v1/chat/completions", {})

    def _nginx(self) -> Observed:
        need_nginx()
        with (
            Server(*self._upstream, core=CLIENT_CORE) as upstream,
            Server("benchmarks.servers.nginx", "{port}", str(upstream.port)) as server,
        ):
            return self._observe(server, "/v1/chat/completions", _CHAT)

    def _ours(self) -> Observed:
        with Server(*self._upstream, core=CLIENT_CORE) as upstream:
            env = {"OPENAI_BASE_URL": f"http://127.0.0.1:{upstream.port}/v1", "OPENAI_API_KEY": "unused"}
            with Server("realtime", "serve", "--port", "{port}", "--log-level", "warning", env=env) as server:
                body = {"model": "openai/benchmark", "prompt": "Say it.", "stream": True}
                return self._observe(server, "/v1/generations", body)

    def _litellm(self) -> Observed:
        python = python_of("litellm")
        with Server(*self._upstream, core=CLIENT_CORE) as upstream:
            key = f"sk-{secrets.token_hex(32)}"
            command = ("benchmarks.servers.litellm_proxy", "{port}", f"http://127.0.0.1:{upstream.port}/v1")
            with Server(*command, env={"LITELLM_MASTER_KEY": key}, python=python) as server:
                return self._observe(server, "/v1/chat/completions", _CHAT, {"Authorization": f"Bearer {key}"})

    def _tutorial(self) -> Observed:
        with Server(*self._upstream, core=CLIENT_CORE) as upstream:
            url = f"http://127.0.0.1:{upstream.port}/v1"
            with Server("benchmarks.servers.tutorial", "gateway", "{port}", url) as server:
                return self._observe(server, "/chat", {"prompt": "Say it."})

    def _observe(
        self, server: Server, path: str, body: Mapping[str, object], headers: Mapping[str, str] | None = None
    ) -> Observed:
        return observe(
            Job(
                port=server.port,
                pid=server.pid,
                connections=self._generations,
                request=http_request("POST", path, server.port, body, headers),
                spread_s=self._spread_s,
                warm_s=_WARM_S,
                window_s=self._window_s,
            )
        )
