"""`gateway`: many generations at once, each from a model's socket through the server to one observer's."""

from collections.abc import Iterable, Mapping, Sequence

from .gateway_case import RATE, GatewayCase
from .plan import Plan
from .report import Check, Figure, Row, Table
from .rounds import Runs, rows, take_turns, warnings

# What a core carries: of LiteLLM's, of the tutorial's, a little more than that, and what ours must.
_LITELLM, _TUTORIAL, _FEW, _MANY = 32, 80, 100, 300
# Starting a generation costs milliseconds; all at once would be another benchmark.
_STARTS_PER_S = 100
_WARM_S = 1.0


def run(plan: Plan) -> Iterable[Table]:
    """The peers where each still keeps up, once; then what a core of ours must carry, in every round."""
    if not plan.quick:
        yield _once(_LITELLM, ("nginx", "ours", "LiteLLM", "tutorial"), plan)
        yield _once(_TUTORIAL, ("ours", "tutorial"), plan)
        yield _once(_FEW, ("no server", "nginx", "ours", "LiteLLM", "tutorial"), plan)
    yield _full(plan)


def _case(generations: int, plan: Plan) -> GatewayCase:
    spread_s = generations / _STARTS_PER_S
    return GatewayCase(generations, spread_s=spread_s, warm_s=_WARM_S, window_s=plan.window_s)


def _once(generations: int, names: Sequence[str], plan: Plan) -> Table:
    cases = _case(generations, plan).named(names)
    return _table(generations, take_turns(f"gateway {generations}", cases, plan, once=names), ())


def _full(plan: Plan) -> Table:
    names = ["no server", "nginx", "ours", "LiteLLM", "tutorial"]
    if plan.quick:
        # It takes ten seconds to start.
        names.remove("LiteLLM")
    cases = _case(_MANY, plan).named(names)
    runs = take_turns(f"gateway {_MANY}", cases, plan, once=("no server", "nginx", "LiteLLM"))
    ours = runs["ours"]
    checks = [
        Check("delivered share of the rate, ours", ours.share(_MANY * RATE), 0.99, at_most=False),
        Check("CPU per token, ours / tutorial", ours.ratio(runs["tutorial"]), 1 / 3, figure="ratio", cases=("ours",)),
    ]
    return _table(_MANY, runs, checks)


def table(name: str, generations: int, runs: Mapping[str, Runs], checks: Sequence[Check]) -> Table:
    """What all cases of one gateway showed."""

    def figures(one: Runs) -> dict[str, Figure]:
        return {
            "delivered %": 100 * one.share(generations * RATE),
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
        name=name,
        baseline="the CPU per token of the tutorial's server",
        rows=shown,
        checks=checks,
        notes=notes,
    )


def _table(generations: int, runs: Mapping[str, Runs], checks: Sequence[Check]) -> Table:
    return table(f"gateway: {generations} generations, {RATE}/s each", generations, runs, checks)
