"""Prometheus metrics of the jobs."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry

from neuron_whisper.server.jobs.metrics import JobsCollector
from neuron_whisper.server.jobs.service import JobService
from tests.unit.server.jobs.test_service import add, run_service, wait_until_ended


def test_jobs_are_counted_by_status(tmp_path: Path) -> None:
    async def work(service: JobService) -> None:
        registry = CollectorRegistry()
        registry.register(JobsCollector(service))

        def value(name: str, **labels: str) -> float | None:
            return registry.get_sample_value(f"neuron_whisper_{name}", labels)

        assert [value("jobs", status=status) for status in ("running", "succeeded")] == [0, 0]
        await wait_until_ended(service, await add(service))
        assert value("jobs", status="succeeded") == 1
        assert value("jobs_stored_bytes") == service.count_stored().stored_bytes > 0
        assert value("webhooks_pending") == 0

    run_service(tmp_path, work)
