"""`drops`: a thousand observers of one generation whose TCP dies again and again, and what of it each of them gets."""

from collections.abc import Callable, Iterable

import msgspec

from .clients import drops
from .clients.asking import ask
from .environments import NCHAN, NotInstalledError, need_nginx, python_of
from .generations import start
from .machine import CLIENT_CORE
from .plan import Plan
from .processes import Server
from .report import Check, Figure, Row, Table, noise, percentile
from .requests import UPGRADE, http_request, text_frame
from .stamps import MARK

_DRAWN = "delivered %"
_RATE = 50
# Connecting, being late and settling are in a publisher's time too.
_SPARE_S = 20.0
_CHANNEL = "00000"


class _Shape(msgspec.Struct, frozen=True):
    """Who dies how often, and for how long he is gone: the same for everyone."""

    observers: int
    window_s: float
    every_s: float
    offline_s: float

    def job(self, server: Server, request: bytes, end: bytes = b"\n\n", command: bytes = b"") -> drops.Job:
        return drops.Job(
            port=server.port,
            pid=server.pid,
            rate=_RATE,
            request=request.replace(b"\r\n\r\n", b"\r\n" + drops.CURSOR + b"\r\n"),
            end=end,
            command=command,
            **msgspec.structs.asdict(self),
        )

    @property
    def publishing(self) -> tuple[str, str, str]:
        """What a server that publishes is told."""
        return str(self.observers), str(_RATE), str(self.window_s + self.offline_s + _SPARE_S)


_FULL = _Shape(observers=1000, window_s=30.0, every_s=15.0, offline_s=2.0)
_QUICK = _Shape(observers=300, window_s=2.0, every_s=1.5, offline_s=0.3)


def run(plan: Plan) -> Iterable[Table]:
    """Whoever can resume, and whoever cannot, through the same deaths."""
    shape = _QUICK if plan.quick else _FULL
    cases: dict[str, Callable[[_Shape], drops.Dropped]] = {"bare loop": _bare, "ours": _ours, "Nchan": _nchan}
    cases |= {"python-socketio": _socketio, "tutorial": _tutorial}
    seen: dict[str, drops.Dropped] = {}
    rows: list[Row] = []
    for name, case in plan.some(cases, ("bare loop", "ours", "tutorial")).items():
        plan.say(f"drops: {name}")
        try:
            seen[name] = case(shape)
        except NotInstalledError:
            rows.append(Row(name, None, {_DRAWN: "not installed"}))
        else:
            rows.append(_row(name, seen[name], seen["bare loop"]))
    ours = seen["ours"]
    yield Table(
        name=f"drops: {shape.observers} observers at {_RATE}/s, each killed every {shape.every_s:g} s, "
        f"offline {shape.offline_s:g} s",
        drawn=_DRAWN,
        baseline="the CPU per delivery of a bare loop with a list of what it sent",
        rows=rows,
        checks=[
            Check("delivered %, ours", _delivered(ours), 100, at_most=False, figure=_DRAWN, cases=("ours",)),
            Check("events that came twice, ours", ours.twice, 0),
            Check("p99 ms from coming back to caught up, ours", percentile(ours.replays, 0.99), 250),
            Check("kills, ours", ours.kills, 0.99 * shape.observers * shape.window_s / shape.every_s, at_most=False),
        ],
        notes=[
            "Resume is by Last-Event-ID. The tutorial and python-socketio have none: what comes meanwhile is lost.",
            "Caught up is who has the newest event that was due when he began to connect.",
            "What has not come 5 s after the window, and the time offline, is lost.",
            *noise({name: one.waited for name, one in seen.items()}),
        ],
    )


def _row(name: str, seen: drops.Dropped, baseline: drops.Dropped) -> Row:
    resumes = bool(seen.replays) and name not in ("tutorial", "python-socketio")
    figures: dict[str, Figure] = {
        _DRAWN: _delivered(seen),
        "lost": seen.lost,
        "twice": seen.twice,
        "kills": seen.kills,
        "replay p50 ms": percentile(seen.replays, 0.5) if resumes else None,
        "replay p99 ms": percentile(seen.replays, 0.99) if resumes else None,
        "not caught up": seen.behind,
        "live p50 ms": percentile(seen.ages, 0.5),
        "live p99 ms": percentile(seen.ages, 0.99),
        "CPU µs/delivery": _cost_us(seen),
        "server cut": seen.broken,
        "waited %": 100 * seen.waited,
        "client busy %": 100 * seen.client_busy,
    }
    return Row(name, _cost_us(seen) / _cost_us(baseline), figures)


def _delivered(seen: drops.Dropped) -> float:
    return 100 * (1 - seen.lost / seen.due)


def _cost_us(seen: drops.Dropped) -> float:
    return seen.cpu_us / max(1, seen.window_tokens)


def _ask(job: drops.Job) -> drops.Dropped:
    return ask("drops", job, drops.Dropped, job.longest_s)


def _bare(shape: _Shape) -> drops.Dropped:
    with Server("benchmarks.servers.bare", "{port}", *shape.publishing) as server:
        return _ask(shape.job(server, http_request("GET", "/", server.port)))


def _ours(shape: _Shape) -> drops.Dropped:
    with Server("benchmarks.servers.ours", "{port}", *shape.publishing) as server:
        path = f"/v1/generations/{start(server.port)}/events"
        return _ask(shape.job(server, http_request("GET", path, server.port)))


def _tutorial(shape: _Shape) -> drops.Dropped:
    with Server("benchmarks.servers.tutorial", "fanout", "{port}", *shape.publishing) as server:
        return _ask(shape.job(server, http_request("GET", "/events", server.port), b"\r\n\r\n"))


def _nchan(shape: _Shape) -> drops.Dropped:
    need_nginx(NCHAN)
    with Server("benchmarks.servers.nchan", "{port}", str(2 * shape.observers)) as server:
        arguments = (str(server.port), "1", *shape.publishing)
        with Server("benchmarks.servers.publisher", *arguments, core=CLIENT_CORE):
            return _ask(shape.job(server, http_request("GET", f"/observe/{_CHANNEL}", server.port)))


def _socketio(shape: _Shape) -> drops.Dropped:
    python = python_of("socketio")
    with Server("benchmarks.servers.socket_io", "{port}", *shape.publishing, python=python) as server:
        path = "/socket.io/?EIO=4&transport=websocket"
        request = http_request("GET", path, server.port, headers=UPGRADE)
        return _ask(shape.job(server, request, MARK, text_frame(b"40")))
