"""The bus's own numbers for Prometheus, read when they are asked for."""

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from .bus import RedisBus
from .counts import BOUNDS_S


class RedisMetrics(Collector):
    """A collector, to be registered where the other metrics are.

    Args:
        bus: One that is open by the time anyone asks.
    """

    def __init__(self, bus: RedisBus) -> None:
        self._bus = bus

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        bus, counts = self._bus, self._bus.counts
        yield GaugeMetricFamily(
            "realtime_redis_healthy", "1 while Redis takes what is written and what it tells is heard", bus.healthy
        )
        yield GaugeMetricFamily(
            "realtime_redis_buffered_bytes", "Payload that Redis has not acknowledged yet", bus.buffered_bytes
        )
        bounds = [*map(str, BOUNDS_S), "+Inf"]
        yield HistogramMetricFamily(
            "realtime_redis_flush_seconds",
            "Round trips that brought appends",
            buckets=list(zip(bounds, accumulate(counts.flushes), strict=True)),
            sum_value=counts.flushed_s,
        )
        yield CounterMetricFamily("realtime_redis_events", "Events that Redis acknowledged", counts.events)
        rewinds = CounterMetricFamily("realtime_redis_rewinds", "Logs that were written again in part", labels=["why"])
        rewinds.add_metric(["gap"], counts.gaps)
        rewinds.add_metric(["lost"], counts.lost)
        yield rewinds
        yield CounterMetricFamily("realtime_redis_taken_over", "Logs whose writer was gone", counts.taken_over)
        yield CounterMetricFamily("realtime_redis_repairs", "Logs that a comparison found behind", counts.repairs)
        yield CounterMetricFamily("realtime_redis_rebuilt", "Connections to listen by that ended", counts.rebuilt)
