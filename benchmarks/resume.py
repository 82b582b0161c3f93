"""`resume`: one who joins late, or comes back, and has five hundred events to catch up with."""

import http.client
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

import msgspec

from .clients import joins
from .clients.asking import ask
from .environments import NCHAN, NotInstalledError, need_nginx
from .generations import Started, start_and_fill
from .plan import Plan
from .processes import Server
from .report import Check, Figure, Row, Table, noise, percentile
from .requests import UPGRADE, http_request, text_frame
from .stamps import now_us, payload

_DRAWN, _BOUNDED = "CPU ms/join", ("ours, SSE, ended", "ours, SSE, running")
_EVENTS = 500
# Bytes more in every token, so that the log of our SSE frames is 75 kB.
_WIDER = 32
# `started` and `attempt`.
_BEFORE = 2
_JOINS, _JOINS_QUICK = 200, 50
_LONGEST_S = 30.0
_NCHAN_CONNECTIONS = 1000
# The bare loop publishes everything in a third of it.
_PUBLISHED_S = 0.3


def run(plan: Plan) -> Iterable[Table]:
    """A log that goes on and one that has ended, from the beginning and from the middle."""
    cases: dict[str, Callable[[Plan], joins.Joined]] = {
        "bare loop": _bare,
        "ours, SSE, ended": lambda plan: _ours(plan, "ended"),
        "ours, SSE, running": lambda plan: _ours(plan, "running"),
        "ours, NDJSON": lambda plan: _ours(plan, "running", "?wire=ndjson"),
        "ours, WebSocket": _socket,
        "ours, replay=merged": lambda plan: _ours(plan, "running", "?replay=merged"),
        "ours, from the middle": lambda plan: _ours(plan, "running", middle=True),
        "bare loop, from the middle": lambda plan: _bare(plan, middle=True),
        "Nchan": _nchan,
        "Nchan, from the middle": lambda plan: _nchan(plan, middle=True),
    }
    cases = plan.some(cases, ("bare loop", *_BOUNDED, "Nchan"))
    seen: dict[str, list[joins.Joined]] = {name: [] for name in cases}
    for _ in range(plan.rounds):
        for name, case in cases.items():
            plan.say(f"resume: {name}")
            with suppress(NotInstalledError):
                seen[name].append(case(plan))
    rows = [_row(name, seen) if seen[name] else Row(name, None, {_DRAWN: "not installed"}) for name in cases]
    rows.append(Row("tutorial", None, {_DRAWN: "keeps nothing"}))
    worst = max(_cpu_ms(seen[name]) for name in _BOUNDED)
    yield Table(
        name=f"resume: joining a log of {_EVENTS} events",
        drawn=_DRAWN,
        baseline="the CPU per join of a bare loop that keeps what it sent, and sends it as one write",
        rows=rows,
        checks=[
            Check(
                "CPU ms per join, ours, the dearer of ended and running",
                worst,
                0.5,
                goal=0.2,
                figure=_DRAWN,
                cases=_BOUNDED,
            )
        ],
        notes=[
            "Every join is a new TCP connection. The tutorial keeps nothing that could be joined late.",
            *noise({name: _waited(mine) for name, mine in seen.items() if mine}),
        ],
    )


def _row(name: str, seen: Mapping[str, list[joins.Joined]]) -> Row:
    mine = seen[name]
    ages: dict[int, int] = {}
    for one in mine:
        for bucket, count in one.ages.items():
            ages[bucket] = ages.get(bucket, 0) + count
    pairs = zip(mine, seen["bare loop"], strict=True)
    figures: dict[str, Figure] = {
        _DRAWN: _cpu_ms(mine),
        "p50 ms": percentile(ages, 0.5),
        "p99 ms": percentile(ages, 0.99),
        "kB": mine[0].received / 1000,
        "joins": sum(ages.values()),
        "waited %": 100 * _waited(mine),
    }
    return Row(name, statistics.median(one.cpu_us / floor.cpu_us for one, floor in pairs), figures)


def _waited(mine: list[joins.Joined]) -> float:
    return statistics.median(one.waited for one in mine)


def _cpu_ms(mine: list[joins.Joined]) -> float:
    return statistics.median(one.cpu_us / one.joins for one in mine) / 1000


def _bare(plan: Plan, *, middle: bool = False) -> joins.Joined:
    with Server("benchmarks.servers.bare", "{port}", "0", str(_EVENTS * 10), "0.1", str(_WIDER)) as server:
        headers = {"Last-Event-ID": f"mfw8j3k2-{_EVENTS // 2}"} if middle else {}
        request = http_request("GET", "/", server.port, headers=headers)
        time.sleep(_PUBLISHED_S)
        return _join(plan, server, request, _EVENTS // 2 if middle else _EVENTS)


def _ours(plan: Plan, model: str, query: str = "", *, middle: bool = False) -> joins.Joined:
    with Server("benchmarks.servers.logged", "{port}", str(_EVENTS), str(_WIDER)) as server:
        log = _fill(server, model)
        epoch = log.cursor.partition("-")[0]
        headers = {"Last-Event-ID": f"{epoch}-{_EVENTS // 2 + _BEFORE}"} if middle else {}
        request = http_request("GET", f"/v1/generations/{log.id}/events{query}", server.port, headers=headers)
        return _join(plan, server, request, _EVENTS // 2 if middle else _EVENTS)


def _socket(plan: Plan) -> joins.Joined:
    with Server("benchmarks.servers.logged", "{port}", str(_EVENTS), str(_WIDER)) as server:
        command = text_frame(msgspec.json.encode({"type": "observe", "generation": _fill(server, "running").id}))
        return _join(plan, server, http_request("GET", "/v1/ws", server.port, headers=UPGRADE), _EVENTS, command)


def _fill(server: Server, model: str) -> Started:
    return start_and_fill(server.port, f"log/{model}", _EVENTS + _BEFORE + (model == "ended"))


def _nchan(plan: Plan, *, middle: bool = False) -> joins.Joined:
    need_nginx(NCHAN)
    with Server("benchmarks.servers.nchan", "{port}", str(_NCHAN_CONNECTIONS)) as server:
        cursors = _publish(server.port)
        headers = {"Last-Event-ID": cursors[_EVENTS // 2 - 1]} if middle else {}
        request = http_request("GET", "/observe/00000", server.port, headers=headers)
        return _join(plan, server, request, _EVENTS // 2 if middle else _EVENTS)


def _publish(port: int) -> list[str]:
    """The same events to Nchan; the cursor of each."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_LONGEST_S)
    cursors: list[str] = []
    try:
        for seq in range(1, _EVENTS + 1):
            text = payload(now_us()) + "." * _WIDER
            body = msgspec.json.encode({"id": f"mfw8j3k2-{seq}", "type": "text", "at": seq, "text": text})
            connection.request("POST", "/publish/00000", body, {"Accept": "text/json"})
            cursors.append(msgspec.json.decode(connection.getresponse().read())["last_message_id"])
    finally:
        connection.close()
    return cursors


def _join(plan: Plan, server: Server, request: bytes, tokens: int, command: bytes = b"") -> joins.Joined:
    count = _JOINS_QUICK if plan.quick else _JOINS
    job = joins.Job(server.port, server.pid, request, tokens, count, command)
    return ask("joins", job, joins.Joined, _LONGEST_S)
