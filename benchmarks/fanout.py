"""`fanout`: one generation, many observers, one token after the other to all of them."""

import http.client
from collections.abc import Callable, Iterable, Mapping

import msgspec

from .load import Job, Observed
from .plan import Plan
from .processes import Server, http_request, observe
from .report import Check, Figure, Row, Table
from .rounds import Runs, take_turns, warnings

_RATE = 200
_FEW, _MANY = 100, 1000
_WARM_S = 1.0
# A publisher goes on for longer than anyone looks; connecting, and being late, are in it too.
_SPARE_S = 10.0
_FLUSH_MS = 40

_UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "c2l4dGVlbiBieXRlcyAhIQ==",
}


def run(plan: Plan) -> Iterable[Table]:
    """A hundred observers, where a delivery's cost is what counts; then a thousand, where keeping up is."""
    yield _few(plan)
    yield _many(plan)


def _few(plan: Plan) -> Table:
    case = _Case(_FEW, plan.window_s)
    flushing = f"ours, SSE, flush_ms={_FLUSH_MS}"
    cases: dict[str, Callable[[], Observed]] = {
        "bare loop": case.floor,
        "ours, SSE": case.ours,
        flushing: lambda: case.ours(f"?flush_ms={_FLUSH_MS}"),
        "ours, WebSocket": case.socket,
        "tutorial": case.tutorial,
    }
    runs = take_turns(f"fanout {_FEW}", cases, plan)
    ours, floor = runs["ours, SSE"], runs["bare loop"]
    return Table(
        name=f"fanout: 1 generation, {_FEW} observers, {_RATE}/s",
        baseline="the CPU per delivery of a bare loop that writes the same bytes to every transport",
        rows=_rows(runs, floor, _FEW),
        checks=[
            Check("CPU per delivery, ours / bare loop", ours.ratio(floor), 1.7),
            Check("the same, goal", ours.ratio(floor), 1.3),
            Check(f"CPU per delivery, ours with flush_ms={_FLUSH_MS} / without", runs[flushing].ratio(ours), 0.6),
        ],
        notes=warnings(runs),
    )


def _many(plan: Plan) -> Table:
    case = _Case(_MANY, plan.window_s)
    cases = {"bare loop": case.floor, "ours, SSE": case.ours, "tutorial": case.tutorial}
    runs = take_turns(f"fanout {_MANY}", cases, plan)
    ours = runs["ours, SSE"]
    return Table(
        name=f"fanout: 1 generation, {_MANY} observers, {_RATE}/s",
        baseline="the CPU per delivery of a bare loop, which writes every token by itself however late it is",
        rows=_rows(runs, runs["bare loop"], _MANY),
        checks=[
            Check("delivered share of the rate, ours", ours.share(_MANY * _RATE), 0.95, at_most=False),
            Check("p99 ms, ours", ours.age_ms(0.99), 60),
        ],
        notes=warnings(runs),
    )


def _rows(runs: Mapping[str, Runs], baseline: Runs, observers: int) -> list[Row]:
    return [Row(name, one.ratio(baseline), _figures(one, observers)) for name, one in runs.items()]


def _figures(runs: Runs, observers: int) -> dict[str, Figure]:
    return {
        "delivered %": 100 * runs.share(observers * _RATE),
        "CPU µs/delivery": runs.cost_us(),
        "p50 ms": runs.age_ms(0.5),
        "p99 ms": runs.age_ms(0.99),
        **runs.about(),
    }


class _Case:
    """Each way to serve so many observers, in a fresh process."""

    def __init__(self, observers: int, window_s: float) -> None:
        self._observers = observers
        self._window_s = window_s
        self._arguments = ("{port}", str(observers), str(_RATE), str(window_s + _WARM_S + _SPARE_S))

    def floor(self) -> Observed:
        with Server("benchmarks.servers.floor", *self._arguments) as server:
            return self._observe(server, http_request("GET", "/events", server.port))

    def tutorial(self) -> Observed:
        with Server("benchmarks.servers.tutorial", "fanout", *self._arguments) as server:
            return self._observe(server, http_request("GET", "/events", server.port))

    def ours(self, query: str = "") -> Observed:
        with Server("benchmarks.servers.ours", *self._arguments) as server:
            path = f"/v1/generations/{_start(server.port)}/events{query}"
            return self._observe(server, http_request("GET", path, server.port))

    def socket(self) -> Observed:
        with Server("benchmarks.servers.ours", *self._arguments) as server:
            command = msgspec.json.encode({"type": "observe", "generation": _start(server.port)})
            # A text frame; the mask that every client's frame must have is four zeros.
            frame = b"\x81%c%b%b" % (0x80 | len(command), bytes(4), command)
            return self._observe(server, http_request("GET", "/v1/ws", server.port, headers=_UPGRADE), frame)

    def _observe(self, server: Server, request: bytes, command: bytes = b"") -> Observed:
        return observe(
            Job(
                port=server.port,
                pid=server.pid,
                connections=self._observers,
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
