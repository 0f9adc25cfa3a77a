"""Prometheus metrics of the decoder processes."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from neuron_whisper.server.decoding.pool import DecodingStats
from neuron_whisper.server.observability.metrics import METRIC_PREFIX

REASONS = ("crash", "forged", "killed", "memory", "processor", "progress")


class DecodingCollector(Collector):
    """decoders_busy, decoders_replaced, decoding_refused{reason}."""

    def __init__(self, stats: DecodingStats) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        stats = self._stats
        yield GaugeMetricFamily(f"{METRIC_PREFIX}decoders_busy", "Processes that decode an upload.", value=stats.busy)
        yield CounterMetricFamily(
            f"{METRIC_PREFIX}decoders_replaced",
            "Decoder processes that were ended: cancelled, at a limit, crashed or grown.",
            value=stats.replaced,
        )
        refused = CounterMetricFamily(
            f"{METRIC_PREFIX}decoding_refused",
            "Files that were refused while they were decoded, by the limit that they reached.",
            labels=["reason"],
        )
        for reason in REASONS:
            refused.add_metric([reason], stats.refused[reason])
        yield refused
