"""Metrics: what the records add up to, and that no caller can make them grow."""

import msgspec
from prometheus_client import CollectorRegistry

from realtime.errors import RealtimeError
from realtime.events import Summary, Timings, Usage
from realtime.hooks import (
    FirstEvent,
    GenerationEnded,
    GenerationStarted,
    ObservationEnded,
    ObservationStarted,
    StopRequested,
)
from realtime.metrics import MAX_MODELS, Metrics

from .logs import make_meta


def summary(model: str = "default", **fields: object) -> Summary:
    """A completed generation of 100 tokens in two seconds, the first after one."""
    plain = {
        "generation": "g",
        "tenant": "t",
        "subject": None,
        "provider": "demo",
        "model": model,
        "created_ms": 0,
        "outcome": "completed",
        "usage": Usage(10, 100),
        "timings": Timings(2000, 1000),
        "events": 5,
        "reason": "stop",
    }
    return Summary(**{**plain, **fields})  # type: ignore[arg-type]


def test_every_record_moves_its_metric() -> None:
    """Live and observers go up and down; durations, rates, tokens, outcomes, stops and departures are counted."""
    registry = CollectorRegistry()
    metrics, meta = Metrics(registry), make_meta()
    labels = {"provider": "demo", "model": "default"}

    def value(name: str, **more: str) -> float | None:
        return registry.get_sample_value(f"realtime_{name}", more)

    metrics(GenerationStarted(meta))
    metrics(ObservationStarted(meta, "sse", resumed=False))
    assert (value("live_generations"), value("observers", wire="sse")) == (1, 1)
    metrics(FirstEvent(meta, 1000))
    metrics(StopRequested(meta, "owner", "streaming"))
    metrics(ObservationEnded(meta, "sse", "streaming", "disconnected"))
    metrics(GenerationEnded(summary()))
    assert (value("live_generations"), value("observers", wire="sse")) == (0, 0)
    assert value("time_to_first_token_seconds_sum", **labels) == 1
    assert value("output_tokens_per_second_sum", **labels) == 100
    assert value("generation_duration_seconds_sum", **labels, outcome="completed") == 2
    assert value("generations_total", **labels, outcome="completed", code="stop") == 1
    assert value("tokens_total", **labels, direction="output", estimated="false") == 100
    assert value("stops_total", **labels, by="owner", state="streaming") == 1
    left = {"wire": "sse", "state": "streaming", "why": "disconnected"}
    assert value("observations_ended_total", **labels, **left) == 1


def test_a_failure_is_counted_by_its_code() -> None:
    """The code of the error is the label."""
    registry = CollectorRegistry()
    error = RealtimeError("upstream_truncated").error
    Metrics(registry)(GenerationEnded(summary(outcome="failed", reason=None, error=error)))
    labels = {"provider": "demo", "model": "default", "outcome": "failed", "code": "upstream_truncated"}
    assert registry.get_sample_value("realtime_generations_total", labels) == 1


def test_models_that_callers_invent_are_counted_as_other() -> None:
    """The number of series is bounded, whatever is asked for."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for number in range(MAX_MODELS * 3):
        meta = msgspec.structs.replace(make_meta(), model=f"demo/model-{number}")
        metrics(StopRequested(meta, "owner", "streaming"))
        metrics(ObservationEnded(meta, "sse", "streaming", "disconnected"))
        metrics(GenerationEnded(summary(f"model-{number}")))
    families = {family.name: family for family in registry.collect()}
    for name in ("generations", "stops", "observations_ended"):
        models = {sample.labels["model"] for sample in families[f"realtime_{name}"].samples}
        assert len(models) == MAX_MODELS + 1
        assert "other" in models
