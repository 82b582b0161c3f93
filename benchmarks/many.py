"""`many`: many generations at once, one observer each, their tokens made inside the server: no upstream, no fan-out."""

from collections.abc import Callable, Iterable

import msgspec

from .environments import NCHAN, need_nginx
from .load import NUMBER, Job, Observed
from .machine import CLIENT_CORE
from .plan import Plan
from .processes import Server, observe
from .report import Check, Figure, Table
from .requests import UPGRADE, http_request, text_frame
from .rounds import Runs, rows, take_turns, warnings

_GENERATIONS = 500
_RATE = 50
# A generation's turn is when it was started: at this pace they are spread over the 20 ms between two tokens of one.
_STARTS_PER_S = 230
_WARM_S = 1.0
# Opening five hundred sockets takes a server that has little of its core longer than it should.
_SPARE_S = 20.0
_ASK = {"model": "paced/paced", "prompt": "Say it."}


def run(plan: Plan) -> Iterable[Table]:
    """Five hundred generations, 25,000 tokens a second: what an event costs where each is written once."""
    case = _Case(plan.window_s)
    cases: dict[str, Callable[[], Observed]] = {
        "bare loop": case.floor,
        "ours, SSE": case.ours,
        "ours, WebSocket": case.socket,
        "Nchan, SSE": case.nchan,
        "tutorial": case.tutorial,
    }
    runs = take_turns(f"many {_GENERATIONS}", cases, plan, once=("Nchan, SSE", "tutorial"))
    ours = runs["ours, SSE"]
    yield Table(
        name=f"many: {_GENERATIONS} generations, 1 observer each, {_RATE}/s",
        baseline="the CPU per event of a bare loop: a task for each connection, and no server around it",
        rows=rows(runs, runs["bare loop"], _figures),
        checks=[
            Check(
                "CPU per event, ours / bare loop",
                ours.ratio(runs["bare loop"]),
                1.8,
                goal=1.2,
                figure="ratio",
                cases=("ours, SSE",),
            ),
            Check("p99 ms, ours", ours.age_ms(0.99), 10),
            Check("CPU per event, ours on WebSocket / on SSE", runs["ours, WebSocket"].ratio(ours), 1.2),
        ],
        notes=warnings(runs),
    )


def _figures(runs: Runs) -> dict[str, Figure]:
    return {
        "delivered %": 100 * runs.share(_GENERATIONS * _RATE),
        "CPU µs/event": runs.cost_us(),
        "p50 ms": runs.age_ms(0.5),
        "p99 ms": runs.age_ms(0.99),
        **runs.about(),
    }


class _Case:
    """Each way to serve so many generations, in a fresh process."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._spread_s = _GENERATIONS / _STARTS_PER_S
        self._paced = (str(_RATE), str(self._spread_s + _WARM_S + window_s + _SPARE_S))

    def floor(self) -> Observed:
        with Server("benchmarks.servers.floor", "{port}", "many", *self._paced) as server:
            return self._observe(server, http_request("GET", "/events", server.port))

    def tutorial(self) -> Observed:
        with Server("benchmarks.servers.tutorial", "many", "{port}", *self._paced) as server:
            return self._observe(server, http_request("POST", "/chat", server.port, {"prompt": "Say it."}))

    def ours(self) -> Observed:
        with Server("benchmarks.servers.ours", "{port}", "0", *self._paced) as server:
            body = {**_ASK, "stream": True}
            return self._observe(server, http_request("POST", "/v1/generations", server.port, body))

    def socket(self) -> Observed:
        with Server("benchmarks.servers.ours", "{port}", "0", *self._paced) as server:
            command = msgspec.json.encode({"type": "start", "request": _ASK})
            handshake = http_request("GET", "/v1/ws", server.port, headers=UPGRADE)
            return self._observe(server, handshake, text_frame(command))

    def nchan(self) -> Observed:
        need_nginx(NCHAN)
        channels = (str(_GENERATIONS), "1", *self._paced)
        with (
            Server("benchmarks.servers.nchan", "{port}", str(2 * _GENERATIONS)) as server,
            Server("benchmarks.servers.publisher", str(server.port), *channels, core=CLIENT_CORE),
        ):
            return self._observe(server, http_request("GET", f"/observe/{NUMBER}", server.port))

    def _observe(self, server: Server, request: bytes, command: bytes = b"") -> Observed:
        return observe(
            Job(
                port=server.port,
                pid=server.pid,
                connections=_GENERATIONS,
                request=request,
                command=command,
                spread_s=self._spread_s,
                warm_s=_WARM_S,
                window_s=self._window_s,
            )
        )
