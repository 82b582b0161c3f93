"""Prometheus metrics, fed by the hook's records and by nothing else.

Labels are bounded: wires, states, outcomes and codes are closed sets, and beyond `MAX_MODELS` pairs of provider and
model (a caller names the model), and so many kinds of what providers send, all others are counted as `other`.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from .events import Summary
from .hooks import (
    AttemptEnded,
    FirstEvent,
    GenerationEnded,
    GenerationLost,
    GenerationStarted,
    GenerationTakenOver,
    ObservationEnded,
    ObservationStarted,
    Record,
    StopRequested,
)
from .log import Meta

MAX_MODELS = 100

# First tokens take from tens of milliseconds (local models) to minutes (reasoning models).
_FIRST_S = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2.5, 5, 10, 30, 60, 120, 300)
_DURATION_S = (0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300, 600, 1800)
_RATE = (5, 10, 20, 30, 40, 50, 75, 100, 150, 200, 400, 800)


class Metrics:
    """A hook that keeps Prometheus metrics.

    Args:
        registry: Where they are registered; one per server, so two servers in one process do not collide.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._models: set[tuple[str, str]] = set()
        by_model = ("provider", "model")
        self._live = Gauge(
            "realtime_live_generations", "Generations driven now", registry=registry, multiprocess_mode="livesum"
        )
        self._observers = Gauge(
            "realtime_observers", "Observers attached now", ("wire",), registry=registry, multiprocess_mode="livesum"
        )
        self._first = Histogram(
            "realtime_time_to_first_token_seconds",
            "From start to the first content event",
            by_model,
            buckets=_FIRST_S,
            registry=registry,
        )
        self._duration = Histogram(
            "realtime_generation_duration_seconds",
            "From start to the terminal event",
            (*by_model, "outcome"),
            buckets=_DURATION_S,
            registry=registry,
        )
        self._rate = Histogram(
            "realtime_output_tokens_per_second",
            "Output tokens over the time from the first content to the end",
            by_model,
            buckets=_RATE,
            registry=registry,
        )
        self._ended = Counter(
            "realtime_generations", "Ended generations", (*by_model, "outcome", "code"), registry=registry
        )
        self._attempts = Counter(
            "realtime_attempts",
            "Tries of a provider, by what came of them",
            (*by_model, "deployment", "code"),
            registry=registry,
        )
        self._kinds: set[str] = set()
        self._unknown = Counter(
            "realtime_unknown_chunks",
            "What providers sent that has no name here",
            ("provider", "kind"),
            registry=registry,
        )
        self._cost = Counter(
            "realtime_cost_dollars", "What ended generations cost, where prices are known", by_model, registry=registry
        )
        self._tokens = Counter(
            "realtime_tokens", "Tokens, by direction", (*by_model, "direction", "estimated"), registry=registry
        )
        self._stops = Counter("realtime_stops", "Requested stops", (*by_model, "by", "state"), registry=registry)
        self._left = Counter(
            "realtime_observations_ended",
            "Observations that ended",
            (*by_model, "wire", "state", "why"),
            registry=registry,
        )

    def __call__(self, record: Record, /) -> None:
        match record:
            case GenerationStarted() | GenerationTakenOver():
                self._live.inc()
            case GenerationLost():
                self._live.dec()
            case FirstEvent(meta, after_ms):
                self._first.labels(*self._label(meta)).observe(after_ms / 1000)
            case AttemptEnded(_, provider, deployment, model, code, unknown):
                self._attempts.labels(*self._bounded(provider, model), deployment, code or "").inc()
                for kind, times in unknown.items():
                    self._unknown.labels(provider, self._bounded_kind(kind)).inc(times)
            case StopRequested(meta, by, state):
                self._stops.labels(*self._label(meta), by, state).inc()
            case ObservationStarted(wire=wire):
                self._observers.labels(wire).inc()
            case ObservationEnded(meta, wire, state, why):
                self._observers.labels(wire).dec()
                self._left.labels(*self._label(meta), wire, state, why).inc()
            case GenerationEnded(summary):
                self._live.dec()
                self._end(summary)

    def _end(self, summary: Summary) -> None:
        model = self._bounded(summary.provider, summary.model)
        code = summary.error.code if summary.error else summary.reason or summary.stopped_by or ""
        usage, timings = summary.usage, summary.timings
        self._ended.labels(*model, summary.outcome, code).inc()
        self._duration.labels(*model, summary.outcome).observe(timings.duration_ms / 1000)
        estimated = str(usage.estimated).lower()
        self._tokens.labels(*model, "input", estimated).inc(usage.input_tokens)
        self._tokens.labels(*model, "output", estimated).inc(usage.output_tokens)
        if summary.cost is not None:
            self._cost.labels(*model).inc(summary.cost)
        if timings.first_event_ms is not None and timings.duration_ms > timings.first_event_ms:
            seconds = (timings.duration_ms - timings.first_event_ms) / 1000
            self._rate.labels(*model).observe(usage.output_tokens / seconds)

    def _label(self, meta: Meta) -> tuple[str, str]:
        return self._bounded(meta.provider, meta.model.partition("/")[2])

    def _bounded_kind(self, kind: str) -> str:
        if kind not in self._kinds:
            if len(self._kinds) >= MAX_MODELS:
                return "other"
            self._kinds.add(kind)
        return kind

    def _bounded(self, provider: str, model: str) -> tuple[str, str]:
        pair = (provider, model)
        if pair not in self._models:
            if len(self._models) >= MAX_MODELS:
                return provider, "other"
            self._models.add(pair)
        return pair
