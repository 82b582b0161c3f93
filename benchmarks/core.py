"""`core`: what one core carries: five hundred generations from a model's socket to their observers', plain and by TLS.

And what it takes when they all begin within a second.
"""

from collections.abc import Iterable

from .gateway import table
from .gateway_case import RATE, GatewayCase
from .plan import Plan
from .report import Check, Table
from .rounds import Runs, take_turns

_GENERATIONS, _GENERATIONS_QUICK = 500, 200
_RAMP_S, _RAMP_QUICK_S = 6.0, 2.0
_WARM_S = 2.0
_BURST_S = 1.0
_PEERS = ("nginx", "LiteLLM", "tutorial")


def run(plan: Plan) -> Iterable[Table]:
    """Each wire to the model, then the burst."""
    yield _steady(plan, tls=False)
    yield _steady(plan, tls=True)
    yield _burst(plan)


def _steady(plan: Plan, *, tls: bool) -> Table:
    generations = _GENERATIONS_QUICK if plan.quick else _GENERATIONS
    how = "TLS" if tls else "plain"
    ramp_s = _RAMP_QUICK_S if plan.quick else _RAMP_S
    case = GatewayCase(generations, spread_s=ramp_s, warm_s=_WARM_S, window_s=plan.window_s, tls=tls)
    names = ["nginx", "ours", "tutorial"] if plan.quick else ["nginx", "ours", "LiteLLM", "tutorial"]
    # In the run of each TLS the harness's own latencies would be those of a client that speaks none.
    names = names if tls else ["no server", *names]
    runs = take_turns(f"core {how}", case.named(names), plan, once=("no server", "LiteLLM", "tutorial"))
    name = f"core: {generations} generations, {RATE}/s each, {how} to the model"
    return table(name, generations, runs, _checks(generations, runs))


def _checks(generations: int, runs: dict[str, Runs]) -> list[Check]:
    ours = runs["ours"]
    added = ours.age_ms(0.5), ours.age_ms(0.99)
    limits = {"nginx": (4.5, 2.7), "tutorial": (1 / 4, None), "LiteLLM": (1 / 10, None)}
    return [
        Check("delivered share of the rate, ours", ours.share(generations * RATE), 0.99, at_most=False),
        Check("p50 ms, ours", added[0], 5, goal=0.5),
        Check("p99 ms, ours", added[1], 60, goal=5),
        *(
            Check(f"CPU per token, ours / {peer}", ours.ratio(runs[peer]), limit, goal=goal)
            for peer, (limit, goal) in limits.items()
            if peer in runs and runs[peer].installed
        ),
    ]


def _burst(plan: Plan) -> Table:
    generations = _GENERATIONS_QUICK if plan.quick else _GENERATIONS
    case = GatewayCase(generations, spread_s=_BURST_S, warm_s=_WARM_S, window_s=plan.window_s)
    names = ["nginx", "ours", "tutorial"]
    runs = take_turns("core burst", case.named(names), plan, once=("nginx", "tutorial"))
    ours = runs["ours"]
    checks = [
        Check("p99 ms to the first token, ours", ours.first_ms(0.99), 2500, goal=1000),
        Check("generations that never began, ours", ours.median(lambda one: one.silent), 0),
    ]
    return table(f"core: {generations} generations that begin within a second", generations, runs, checks)
