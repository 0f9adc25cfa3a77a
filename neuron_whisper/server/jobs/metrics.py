"""Prometheus metrics of the jobs, read from the store at each scrape."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from neuron_whisper.server.jobs.entities import STATUSES
from neuron_whisper.server.jobs.service import JobService
from neuron_whisper.server.observability.metrics import METRIC_PREFIX


class JobsCollector(Collector):
    """jobs{status}, jobs_stored_bytes, webhooks_pending."""

    def __init__(self, jobs: JobService) -> None:
        self._jobs = jobs

    def describe(self) -> Iterator[Metric]:
        """Describe nothing: registering the collector must not query the store."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        counts = self._jobs.count_stored()
        jobs = GaugeMetricFamily(f"{METRIC_PREFIX}jobs", "Jobs stored, by status.", labels=["status"])
        for status in STATUSES:
            jobs.add_metric([status], counts.jobs.get(status, 0))
        yield jobs
        yield GaugeMetricFamily(
            f"{METRIC_PREFIX}jobs_stored_bytes", "Bytes of uploads and results stored.", value=counts.stored_bytes
        )
        yield GaugeMetricFamily(
            f"{METRIC_PREFIX}webhooks_pending", "Webhooks not delivered yet.", value=counts.webhooks_pending
        )
