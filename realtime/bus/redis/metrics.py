"""The bus's own numbers for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# Up to what a round trip may take: from Redis on this machine to the end of every call.
_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class BusMetrics:
    """What the bus has done, and how it is.

    Args:
        registry: Where they are registered; nowhere when None.
    """

    def __init__(self, registry: CollectorRegistry | None) -> None:
        self.healthy = Gauge(
            "realtime_redis_healthy",
            "1 while Redis takes what is written and what it tells is heard",
            registry=registry,
            multiprocess_mode="livemin",
        )
        self.buffered_bytes = Gauge(
            "realtime_redis_buffered_bytes",
            "Payload that Redis has not acknowledged yet",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.flush_s = Histogram(
            "realtime_redis_flush_seconds", "Round trips that brought appends", buckets=_BOUNDS_S, registry=registry
        )
        self.events = Counter("realtime_redis_events", "Events that Redis acknowledged", registry=registry)
        rewinds = Counter("realtime_redis_rewinds", "Logs that were written again in part", ("why",), registry=registry)
        self.gaps, self.lost = rewinds.labels("gap"), rewinds.labels("lost")
        self.taken_over = Counter("realtime_redis_taken_over", "Logs whose writer was gone", registry=registry)
        self.repairs = Counter("realtime_redis_repairs", "Logs that a comparison found behind", registry=registry)
        self.rebuilt = Counter("realtime_redis_rebuilt", "Connections to listen by that ended", registry=registry)
