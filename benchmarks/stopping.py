"""Many generations that run, stopped one after the other, and how late its upstream saw each connection close."""

import http.client
from collections.abc import Mapping

import msgspec

from .clients import stops
from .clients.asking import ask
from .plan import Plan
from .processes import Server
from .report import BUCKET_US, Figure, Row, percentile
from .requests import http_request

GENERATIONS = 200
START: dict[str, object] = {"model": "openai/benchmark", "prompt": stops.NAME, "stream": True}
STOP = f"/v1/generations/{stops.NAME}/stop"

_STARTS_PER_S, _STARTS_PER_S_QUICK = 100, 200
_STOPS, _STOPS_QUICK = 200, 40
_EVERY_S = 0.025

Case = tuple[stops.Asked, dict[str, int]]


class Stops:
    """The stops of one case, of all rounds.

    Args:
        settle_s: What a stop that closed nothing counts as.
    """

    def __init__(self, settle_s: float = stops.SETTLE_S) -> None:
        self.stops = 0
        self.closed: dict[int, int] = {}
        self.told: dict[int, int] = {}
        self.live: list[int] = []
        self.late_us: list[int] = []
        self.waited: list[float] = []
        self.busy: list[float] = []
        self._settle_s = settle_s

    def add(self, asked: stops.Asked, closed_us: Mapping[str, int]) -> None:
        self.stops += len(asked.sent_us)
        self.live.append(asked.live)
        self.late_us.append(asked.late_us)
        self.waited.append(asked.waited)
        self.busy.append(asked.busy)
        for prompt, sent_us in asked.sent_us.items():
            for when, seen in ((closed_us, self.closed), (asked.told_us, self.told)):
                if prompt in when:
                    bucket = max(0, when[prompt] - sent_us) // BUCKET_US
                    seen[bucket] = seen.get(bucket, 0) + 1

    @property
    def all(self) -> dict[int, int]:
        """Every stop; one that closed nothing is as late as this run could see."""
        seen = dict(self.closed)
        if self.unclosed:
            never = int(self._settle_s * 1e6) // BUCKET_US
            seen[never] = seen.get(never, 0) + self.unclosed
        return seen

    @property
    def unclosed(self) -> int:
        return self.stops - sum(self.closed.values())

    def row(self, name: str, baseline: "Stops") -> Row:
        p50 = percentile(self.all, 0.5)
        figures: dict[str, Figure] = {
            "p50 ms": p50,
            "p99 ms": percentile(self.all, 0.99),
            "max ms": percentile(self.all, 1.0),
            "stops": self.stops,
            "not closed": self.unclosed,
            "observer told p99 ms": percentile(self.told, 0.99) if self.told else None,
            "live": min(self.live),
            "client late ms": max(self.late_us) / 1000,
            "waited %": 100 * max(self.waited),
            "client busy %": 100 * max(self.busy),
        }
        return Row(name, p50 / percentile(baseline.all, 0.5), figures)


def stop_many(
    plan: Plan,
    upstream: Server,
    server: Server,
    path: str,
    body: dict[str, object],
    stop: bytes = b"",
    *,
    asked: Server | None = None,
    settle_s: float = stops.SETTLE_S,
) -> Case:
    """Start them at `server`, and stop them.

    Args:
        stop: The request, see `stops.Job`.
        asked: Who is asked for a stop; who was asked to start when not given.
        settle_s: How long is waited after the last stop for what it is to close.
    """
    job = stops.Job(
        port=server.port,
        stop_port=(asked or server).port,
        pid=server.pid,
        generations=GENERATIONS,
        start=http_request("POST", path, server.port, body),
        stop=stop,
        stops=_STOPS_QUICK if plan.quick else _STOPS,
        every_s=_EVERY_S,
        spread_s=GENERATIONS / (_STARTS_PER_S_QUICK if plan.quick else _STARTS_PER_S),
        warm_s=0.5 if plan.quick else 1.0,
        settle_s=settle_s,
    )
    seen = ask("stops", job, stops.Asked, job.longest_s)
    connection = http.client.HTTPConnection("127.0.0.1", upstream.port, timeout=10)
    try:
        connection.request("GET", "/")
        return seen, msgspec.json.decode(connection.getresponse().read(), type=dict[str, int])
    finally:
        connection.close()
