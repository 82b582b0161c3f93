"""`core`: what one core carries: five hundred generations from a model's socket to their observers', plain and by TLS.

And what it takes when they all begin within a second, and what each holds.
"""

from collections.abc import Iterable

from .clients import idle
from .clients.asking import ask
from .gateway import table
from .gateway_case import RATE, GatewayCase
from .plan import Plan
from .report import Check, Row, Table
from .rounds import Runs, take_turns

_GENERATIONS, _GENERATIONS_QUICK = 500, 200
_RAMP_S, _RAMP_QUICK_S = 6.0, 2.0
_WARM_S = 2.0
_BURST_S = 1.0
_HELD = "KiB/generation"
# After their first token the models say nothing for ten seconds.
_SILENT_RATE, _LOOK_S = 0.1, 0.5
_PEERS = ("nginx", "LiteLLM", "tutorial")


def run(plan: Plan) -> Iterable[Table]:
    """Each wire to the model, then the burst, then the memory."""
    yield _steady(plan, tls=False)
    yield _steady(plan, tls=True)
    yield _burst(plan)
    yield _memory(plan)


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


def _memory(plan: Plan) -> Table:
    generations = _GENERATIONS_QUICK if plan.quick else _GENERATIONS
    held: dict[str, float] = {}
    for how, tls in (("plain", False), ("TLS", True)):
        plan.say(f"core memory: {how}")
        case = GatewayCase(generations, spread_s=0, warm_s=0, window_s=_LOOK_S, tls=tls, rate=_SILENT_RATE)
        with case.kept() as job:
            seen = ask("idle", job, idle.Idle, job.longest_s)
        held[how] = (seen.after_kib - seen.before_kib) / generations
    return Table(
        name=f"core: memory of each of {generations} live generations",
        drawn=_HELD,
        baseline="one whose model is reached without TLS",
        rows=[Row(f"ours, {how}", kib / held["plain"], {_HELD: kib}) for how, kib in held.items()],
        checks=[
            Check(f"KiB per live generation, {how}", kib, 60, figure=_HELD, cases=(f"ours, {how}",))
            for how, kib in held.items()
        ],
        notes=[
            "With its observer and its connection to the model, after the first token, so beside what its log holds."
        ],
    )
