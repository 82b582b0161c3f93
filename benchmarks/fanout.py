"""`fanout`: one generation, many observers, one token after the other to all of them."""

import http.client
from collections.abc import Callable, Iterable, Mapping

import msgspec

from .environments import NCHAN, need_nginx, python_of
from .load import Job, Observed
from .machine import CLIENT_CORE
from .plan import Plan
from .processes import Server, observe
from .report import Check, Figure, Table
from .requests import UPGRADE, http_request, text_frame
from .rounds import Runs, rows, take_turns, warnings

_RATE, _FLOOD = 200, 1000
_FEW, _MANY = 100, 1000
_WARM_S = 0.5
# A publisher goes on for longer than anyone looks; connecting, and being late, are in it too.
_SPARE_S = 10.0
_FLUSH_MS = 40
# They set the scene; their last digit is of no interest.
_ONCE = ("Nchan, SSE", "python-socketio", "tutorial")


def run(plan: Plan) -> Iterable[Table]:
    """A hundred observers, where a delivery's cost is what counts; a thousand, where keeping up is; and too much."""
    yield _few(plan)
    yield _many(plan)
    yield _flood(plan)


def _few(plan: Plan) -> Table:
    case = _Case(_FEW, _RATE, plan.window_s)
    flushing = f"ours, SSE, flush_ms={_FLUSH_MS}"
    cases: dict[str, Callable[[], Observed]] = {
        "bare loop": case.floor,
        "ours, SSE": case.ours,
        flushing: lambda: case.ours(f"?flush_ms={_FLUSH_MS}"),
        "ours, WebSocket": case.socket,
        "Nchan, SSE": case.nchan,
        "python-socketio": case.socketio,
        "tutorial": case.tutorial,
    }
    runs = take_turns(f"fanout {_FEW}", cases, plan, once=_ONCE)
    ours, floor = runs["ours, SSE"], runs["bare loop"]
    return _table(
        case,
        runs,
        checks=[
            Check(
                "CPU per delivery, ours / bare loop",
                ours.ratio(floor),
                1.7,
                goal=1.3,
                figure="ratio",
                cases=("ours, SSE",),
            ),
            Check(
                f"CPU per delivery, ours with flush_ms={_FLUSH_MS} / without",
                runs[flushing].ratio(ours),
                0.6,
                goal=0.35,
            ),
        ],
    )


def _many(plan: Plan) -> Table:
    case = _Case(_MANY, _RATE, plan.window_s)
    cases = {
        "bare loop": case.floor,
        "ours, SSE": case.ours,
        "ours, WebSocket": case.socket,
        "Nchan, SSE": case.nchan,
        "python-socketio": case.socketio,
        "tutorial": case.tutorial,
    }
    runs = take_turns(f"fanout {_MANY}", cases, plan, once=_ONCE)
    ours = runs["ours, SSE"]
    return _table(
        case,
        runs,
        checks=[
            Check("delivered share of the rate, ours", ours.share(case.due_per_s), 0.95, at_most=False),
            Check("p99 ms, ours", ours.age_ms(0.99), 60),
        ],
    )


def _flood(plan: Plan) -> Table:
    """Five times what a core can write one by one. Not to collapse is to join writes and stay a moment behind."""
    case = _Case(_MANY, _FLOOD, plan.window_s)
    cases = {"bare loop": case.floor, "ours, SSE": case.ours, "Nchan, SSE": case.nchan}
    runs = take_turns(f"fanout {_MANY}, flooded", cases, plan, once=("bare loop", "Nchan, SSE"))
    ours = runs["ours, SSE"]
    return _table(
        case,
        runs,
        checks=[
            Check("delivered share of the rate, ours", ours.share(case.due_per_s), 0.9, at_most=False),
            Check("p99 ms, ours", ours.age_ms(0.99), 1000),
        ],
    )


def _table(case: "_Case", runs: Mapping[str, Runs], checks: list[Check]) -> Table:
    def figures(one: Runs) -> dict[str, Figure]:
        return {
            "delivered %": 100 * one.share(case.due_per_s),
            "CPU µs/delivery": one.cost_us(),
            "p50 ms": one.age_ms(0.5),
            "p99 ms": one.age_ms(0.99),
            **one.about(),
        }

    return Table(
        name=f"fanout: 1 generation, {case.observers} observers, {case.rate}/s",
        baseline="the CPU per delivery of a bare loop, which writes every token by itself however late it is",
        rows=rows(runs, runs["bare loop"], figures),
        checks=checks,
        notes=warnings(runs),
    )


class _Case:
    """Each way to serve so many observers, in a fresh process."""

    def __init__(self, observers: int, rate: int, window_s: float) -> None:
        self.observers = observers
        self.rate = rate
        self._window_s = window_s
        self._paced = (str(observers), str(rate), str(window_s + _WARM_S + _SPARE_S))

    @property
    def due_per_s(self) -> int:
        return self.observers * self.rate

    def floor(self) -> Observed:
        with Server("benchmarks.servers.floor", "{port}", "fanout", *self._paced) as server:
            return self._observe(server, http_request("GET", "/events", server.port))

    def tutorial(self) -> Observed:
        with Server("benchmarks.servers.tutorial", "fanout", "{port}", *self._paced) as server:
            return self._observe(server, http_request("GET", "/events", server.port))

    def ours(self, query: str = "") -> Observed:
        with Server("benchmarks.servers.ours", "{port}", *self._paced) as server:
            path = f"/v1/generations/{_start(server.port)}/events{query}"
            return self._observe(server, http_request("GET", path, server.port))

    def socket(self) -> Observed:
        with Server("benchmarks.servers.ours", "{port}", *self._paced) as server:
            command = msgspec.json.encode({"type": "observe", "generation": _start(server.port)})
            handshake = http_request("GET", "/v1/ws", server.port, headers=UPGRADE)
            return self._observe(server, handshake, text_frame(command))

    def nchan(self) -> Observed:
        need_nginx(NCHAN)
        with (
            Server("benchmarks.servers.nchan", "{port}", str(2 * self.observers)) as server,
            Server("benchmarks.servers.publisher", str(server.port), "1", *self._paced, core=CLIENT_CORE),
        ):
            return self._observe(server, http_request("GET", "/observe/00000", server.port))

    def socketio(self) -> Observed:
        python = python_of("socketio")
        with Server("benchmarks.servers.socket_io", "{port}", *self._paced, python=python) as server:
            path = "/socket.io/?EIO=4&transport=websocket"
            # Engine.IO's "message" and Socket.IO's "connect".
            return self._observe(server, http_request("GET", path, server.port, headers=UPGRADE), text_frame(b"40"))

    def _observe(self, server: Server, request: bytes, command: bytes = b"") -> Observed:
        return observe(
            Job(
                port=server.port,
                pid=server.pid,
                connections=self.observers,
                request=request,
                command=command,
                warm_s=_WARM_S,
                window_s=self._window_s,
            )
        )


def _start(port: int) -> str:
    """Start the one generation; it waits for its observers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        body = msgspec.json.encode({"model": "paced/paced", "prompt": "Say it."})
        connection.request("POST", "/v1/generations", body, {"Content-Type": "application/json"})
        answer = msgspec.json.decode(connection.getresponse().read())
    finally:
        connection.close()
    generation: str = answer["id"]
    return generation
