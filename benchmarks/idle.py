"""`idle`: observers with nothing to observe: what each holds in memory, and what ten thousand cost in heartbeats."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager

import msgspec

from .clients import idle
from .clients.asking import ask, ask_all
from .clients.sockets import raise_file_limit
from .environments import NCHAN, NotInstalledError, need_nginx, python_of
from .generations import start
from .plan import Plan
from .processes import Server
from .report import Check, Figure, Row, Table, noise
from .requests import UPGRADE, http_request, text_frame

_HELD, _SPENT = "KiB/observer", "CPU % of a core"
_STREAMS = ("ours, SSE", "ours, NDJSON")
_SOME, _SOME_QUICK = 2000, 500
_MANY, _MANY_QUICK = 10_000, 2000
# Two of the heartbeats that everyone here sends every 15 s, exactly.
_WINDOW_S, _WINDOW_QUICK_S = 30.0, 5.0
_SHORT_S = 0.5
# Nobody publishes before so many have come.
_NEVER = ("1000000000", "1", "1")

_Case = Callable[[int, float], AbstractContextManager[idle.Job]]


def run(plan: Plan) -> Iterable[Table]:
    """Memory first, one server at a time; then the cost of many, ours alone and the others side by side."""
    raise_file_limit()
    yield _memory(plan)
    yield _cost(plan)


def _memory(plan: Plan) -> Table:
    count = _SOME_QUICK if plan.quick else _SOME
    cases: dict[str, _Case] = {
        "bare loop": _bare,
        "ours, SSE": _ours,
        "ours, NDJSON": _ours_ndjson,
        "ours, WebSocket": _ours_socket,
        "tutorial": _tutorial,
        "python-socketio": _socketio,
        "Nchan, SSE": _nchan,
        "Nchan, WebSocket": _nchan_socket,
    }
    seen: dict[str, idle.Idle] = {}
    rows: list[Row] = []
    for name, case in cases.items():
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
    with _ours(count, window_s) as job:
        ours = ask("idle", job, idle.Idle, job.longest_s)
    others: dict[str, _Case] = {"tutorial": _tutorial, "python-socketio": _socketio, "Nchan": _nchan}
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


def _job(
    server: Server, count: int, window_s: float, path: str, ready: bytes, headers: Mapping[str, str] | None = None
) -> idle.Job:
    return idle.Job(
        port=server.port,
        pid=server.pid,
        connections=count,
        request=http_request("GET", path, server.port, headers=headers),
        ready=ready,
        window_s=window_s,
    )


@contextmanager
def _bare(count: int, window_s: float) -> Iterator[idle.Job]:
    with Server("benchmarks.servers.bare", "{port}", *_NEVER) as server:
        yield _job(server, count, window_s, "/", b"\r\n\r\n")


@contextmanager
def _ours(count: int, window_s: float, wire: str = "sse") -> Iterator[idle.Job]:
    with _our_server(count) as server:
        path = f"/v1/generations/{start(server.port)}/events?wire={wire}"
        yield _job(server, count, window_s, path, b'"started"')


def _ours_ndjson(count: int, window_s: float) -> AbstractContextManager[idle.Job]:
    return _ours(count, window_s, "ndjson")


@contextmanager
def _ours_socket(count: int, window_s: float) -> Iterator[idle.Job]:
    with _our_server(count) as server:
        command = text_frame(msgspec.json.encode({"type": "observe", "generation": start(server.port)}))
        job = _job(server, count, window_s, "/v1/ws", b'"started"', UPGRADE)
        yield msgspec.structs.replace(job, command=command)


def _our_server(count: int) -> Server:
    # Some of those who were there to warm up may not have been missed yet.
    return Server("benchmarks.servers.ours", "{port}", *_NEVER, env={"REALTIME_MAX_STREAMS": str(2 * count)})


@contextmanager
def _tutorial(count: int, window_s: float) -> Iterator[idle.Job]:
    with Server("benchmarks.servers.tutorial", "fanout", "{port}", *_NEVER) as server:
        yield _job(server, count, window_s, "/events", b"\r\n\r\n")


@contextmanager
def _socketio(count: int, window_s: float) -> Iterator[idle.Job]:
    python = python_of("socketio")
    with Server("benchmarks.servers.socket_io", "{port}", *_NEVER, python=python) as server:
        # Its answer to the first message; before it comes the handshake of engine.io.
        job = _job(server, count, window_s, "/socket.io/?EIO=4&transport=websocket", b"40{", UPGRADE)
        yield msgspec.structs.replace(job, command=text_frame(b"40"))


@contextmanager
def _nchan(count: int, window_s: float) -> Iterator[idle.Job]:
    need_nginx(NCHAN)
    with Server("benchmarks.servers.nchan", "{port}", str(2 * count)) as server:
        yield _job(server, count, window_s, "/observe/00000", b"\r\n\r\n")


@contextmanager
def _nchan_socket(count: int, window_s: float) -> Iterator[idle.Job]:
    need_nginx(NCHAN)
    with Server("benchmarks.servers.nchan", "{port}", str(2 * count)) as server:
        # Nothing is said after the handshake, and nothing need be.
        yield _job(server, count, window_s, "/observe/00000", b"\r\n\r\n", UPGRADE)
