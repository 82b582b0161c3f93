"""`idle`: observers with nothing to observe: what each holds in memory, and what ten thousand cost in heartbeats."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack

import msgspec

from . import idle_servers
from .clients import idle
from .clients.asking import ask, ask_all
from .clients.sockets import raise_file_limit
from .environments import NotInstalledError
from .plan import Plan
from .report import Check, Figure, Row, Table, noise

_HELD, _SPENT = "KiB/observer", "CPU % of a core"
_STREAMS = ("ours, SSE", "ours, NDJSON")
_SOME, _SOME_QUICK = 2000, 300
_MANY, _MANY_QUICK = 10_000, 1000
# Two of the heartbeats that everyone here sends every 15 s, exactly.
_WINDOW_S, _WINDOW_QUICK_S = 30.0, 2.0
_SHORT_S = 0.5

_Case = Callable[[int, float], AbstractContextManager[idle.Job]]


def run(plan: Plan) -> Iterable[Table]:
    """Memory first, one server at a time; then the cost of many, ours alone and the others side by side."""
    raise_file_limit()
    yield _memory(plan)
    yield _cost(plan)


def _memory(plan: Plan) -> Table:
    count = _SOME_QUICK if plan.quick else _SOME
    cases: dict[str, _Case] = {
        "bare loop": idle_servers.bare,
        "ours, SSE": idle_servers.ours,
        "ours, NDJSON": idle_servers.ours_ndjson,
        "ours, WebSocket": idle_servers.ours_socket,
        "tutorial": idle_servers.tutorial,
        "python-socketio": idle_servers.socketio,
        "Nchan, SSE": idle_servers.nchan,
        "Nchan, WebSocket": idle_servers.nchan_socket,
    }
    seen: dict[str, idle.Idle] = {}
    rows: list[Row] = []
    for name, case in plan.some(cases, ("ours, SSE", "ours, NDJSON", "ours, WebSocket", "tutorial")).items():
        plan.say(f"idle {count}: {name}")
        try:
            with case(count, _SHORT_S) as job:
                seen[name] = ask("idle", job, idle.Idle, job.longest_s)
        except NotInstalledError:
            rows.append(Row(name, None, {_HELD: "not installed"}))
        else:
            rows.append(_memory_row(name, seen[name], count))
    streams, socket = max(_kib(seen[name], count) for name in _STREAMS), _kib(seen["ours, WebSocket"], count)
    tutorial = _kib(seen["tutorial"], count)
    return Table(
        name=f"idle: memory of each of {count} observers",
        drawn=_HELD,
        baseline="what an observer of the tutorial holds",
        rows=[
            msgspec.structs.replace(row, ratio=_kib(seen[row.case], count) / tutorial) if row.case in seen else row
            for row in rows
        ],
        checks=[
            Check("KiB per SSE or NDJSON observer, ours", streams, 20, goal=12, figure=_HELD, cases=_STREAMS),
            Check("KiB per WebSocket observer, ours", socket, 32, goal=20, figure=_HELD, cases=("ours, WebSocket",)),
        ],
        notes=["Memory is PSS of all processes of a server; the kernel's for its sockets is not in it."],
    )


def _memory_row(name: str, seen: idle.Idle, count: int) -> Row:
    figures: dict[str, Figure] = {
        _HELD: _kib(seen, count),
        "MiB before": seen.before_kib / 1024,
        "MiB after": seen.after_kib / 1024,
        "connected in s": seen.connect_s,
    }
    return Row(name, None, figures)


def _kib(seen: idle.Idle, count: int) -> float:
    return (seen.after_kib - seen.before_kib) / count


def _cost(plan: Plan) -> Table:
    count, window_s = (_MANY_QUICK, _WINDOW_QUICK_S) if plan.quick else (_MANY, _WINDOW_S)
    plan.say(f"idle {count}: ours")
    with idle_servers.ours(count, window_s) as job:
        ours = ask("idle", job, idle.Idle, job.longest_s)
    others: dict[str, _Case] = {
        "tutorial": idle_servers.tutorial,
        "python-socketio": idle_servers.socketio,
        "Nchan": idle_servers.nchan,
    }
    others = plan.some(others, ("tutorial",))
    plan.say(f"idle {count}: {', '.join(others)}")
    seen, rows = {"ours": ours}, []
    with ExitStack() as servers:
        jobs: dict[str, idle.Job] = {}
        for name, case in others.items():
            try:
                jobs[name] = servers.enter_context(case(count, window_s))
            except NotInstalledError:
                rows.append(Row(name, None, {_SPENT: "not installed"}))
        longest_s = max(job.longest_s for job in jobs.values())
        seen |= dict(zip(jobs, ask_all("idle", list(jobs.values()), idle.Idle, longest_s), strict=True))
    busy = {name: one.cpu_us / one.window_s / 1e6 for name, one in seen.items()}
    return Table(
        name=f"idle: {count} observers, a heartbeat every 15 s, for {window_s:g} s",
        drawn=_SPENT,
        baseline="the CPU of the tutorial's server",
        rows=[_cost_row(name, seen[name], count, busy[name] / busy["tutorial"]) for name in seen] + rows,
        checks=[
            Check("CPU % of a core, ours", 100 * busy["ours"], 10, figure=_SPENT, cases=("ours",)),
            Check("observers that were lost, ours", ours.ended, 0),
        ],
        notes=[
            "Ours alone, then the others at the same time: they are idle, and CPU is counted by process.",
            "python-socketio pings every 25 s, and uvicorn its sockets every 20 s.",
            *noise({name: one.waited for name, one in seen.items()}),
        ],
    )


def _cost_row(name: str, seen: idle.Idle, count: int, ratio: float) -> Row:
    figures: dict[str, Figure] = {
        _SPENT: 100 * seen.cpu_us / seen.window_s / 1e6,
        "heartbeats each": seen.heartbeats / count,
        _HELD: _kib(seen, count),
        "connected in s": seen.connect_s,
        "cut": seen.ended,
        "waited %": 100 * seen.waited,
    }
    return Row(name, ratio, figures)
