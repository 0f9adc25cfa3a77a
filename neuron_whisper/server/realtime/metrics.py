"""Prometheus metrics of the realtime sessions, read from their limiter at each scrape."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from neuron_whisper.server.observability.metrics import METRIC_PREFIX
from neuron_whisper.server.realtime.limiter import SessionLimiter


class SessionsCollector(Collector):
    """realtime_sessions, realtime_sessions_limit."""

    def __init__(self, limiter: SessionLimiter) -> None:
        self._limiter = limiter

    def collect(self) -> Iterator[Metric]:
        limiter = self._limiter
        yield GaugeMetricFamily(
            f"{METRIC_PREFIX}realtime_sessions", "Realtime sessions that are open.", value=limiter.n_open
        )
        yield GaugeMetricFamily(
            f"{METRIC_PREFIX}realtime_sessions_limit", "Realtime sessions that may be open.", value=limiter.limit
        )
