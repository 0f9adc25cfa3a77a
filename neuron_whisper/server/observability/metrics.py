"""Prometheus metrics: requests, counted as they end, and the engines' statistics, read at each scrape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from litestar.enums import ScopeType
from litestar.types import Scope
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from neuron_whisper.engine.interface import PoolStatus
from neuron_whisper.engine.stats import HistogramSnapshot
from neuron_whisper.server.http.admission import Admission
from neuron_whisper.server.http.errors import (
    AMBIGUOUS_LENGTH,
    CHUNKS_TOO_SMALL,
    CLIENT_CLOSED_REQUEST,
    TEXT_TOO_LONG,
)
from neuron_whisper.server.http.request_context import RequestContext
from neuron_whisper.server.models.registry import ModelRegistry

METRIC_PREFIX = "neuron_whisper_"
REQUEST_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
RTF_BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
UNKNOWN_ROUTE = "other"  # one label for all unknown paths
REJECTED_STATUSES = (401, 403, 408, 413, 415, 429, 503, 507)
REJECTED_CODES = (TEXT_TOO_LONG, AMBIGUOUS_LENGTH, CHUNKS_TOO_SMALL)  # of 400, whose others are mistakes

ENGINE_HISTOGRAMS = {
    "encode_s": ("encode_seconds", "Seconds of an encode call, a batch of windows."),
    "prefill_s": ("prefill_seconds", "Seconds of a prefill call."),
    "step_s": ("step_seconds", "Seconds of a decode step of all slots."),
    "align_s": ("align_seconds", "Seconds of an align call, for word timestamps."),
    "wait_s": ("queue_wait_seconds", "Seconds that a window waited for a slot."),
    "rows": ("step_rows", "Rows that a decode step computed."),
}


class Metrics:
    """The metrics of one server, in a registry of its own: a process may have several. Used on the event loop."""

    def __init__(self, models: ModelRegistry, admission: Admission) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._requests = Counter(
            f"{METRIC_PREFIX}requests",
            "Requests by route, status and error code.",
            ["route", "status", "code"],
            registry=self._registry,
        )
        self._request_seconds = Histogram(
            f"{METRIC_PREFIX}request_seconds",
            "Seconds from a request's headers to the end of its response.",
            ["route"],
            buckets=REQUEST_BUCKETS_S,
            registry=self._registry,
        )
        self._rejected = Counter(
            f"{METRIC_PREFIX}requests_rejected", "Rejected requests by reason.", ["reason"], registry=self._registry
        )
        self._connections_closed = Counter(
            f"{METRIC_PREFIX}connections_closed",
            "Connections that a limit refused or closed, by reason.",
            ["reason"],
            registry=self._registry,
        )
        self._cancelled = Counter(
            f"{METRIC_PREFIX}requests_cancelled", "Requests whose client disconnected.", registry=self._registry
        )
        self._audio_seconds = Counter(
            f"{METRIC_PREFIX}audio_seconds", "Seconds of audio in served requests.", registry=self._registry
        )
        self._rtf = Histogram(
            f"{METRIC_PREFIX}request_rtf",
            "Request seconds per second of audio (real-time factor).",
            buckets=RTF_BUCKETS,
            registry=self._registry,
        )
        self._registry.register(EngineCollector(models, admission))
        ProcessCollector(registry=self._registry)

    def register(self, collector: Collector) -> None:
        """Add a collector to this registry."""
        self._registry.register(collector)

    def record_request(self, context: RequestContext, scope: Scope, took_s: float) -> None:
        route = get_route_path(scope)
        self._requests.labels(route, str(context.status or CLIENT_CLOSED_REQUEST), context.error_code).inc()
        if not context.status or context.status == CLIENT_CLOSED_REQUEST:
            self._cancelled.inc()
        elif context.status in REJECTED_STATUSES or (context.status == 400 and context.error_code in REJECTED_CODES):
            self._rejected.labels(context.error_code or str(context.status)).inc()
        elif scope["type"] == ScopeType.HTTP:
            self._request_seconds.labels(route).observe(took_s)
        if context.status == 200 and context.audio_s:
            self._audio_seconds.inc(context.audio_s)
            self._rtf.observe(took_s / context.audio_s)

    def count_rejected(self, reason: str) -> None:
        """Count what a limit rejected within a request or a session that goes on."""
        self._rejected.labels(reason).inc()

    def count_closed_connection(self, reason: str) -> None:
        """Count a connection that a limit refused or closed."""
        self._connections_closed.labels(reason).inc()

    def render(self) -> bytes:
        """Prometheus' text format, version 0.0.4."""
        return generate_latest(self._registry)


class EngineCollector(Collector):
    """Reads the engines' statistics at a scrape; those of worker processes are up to about a second old."""

    def __init__(self, models: ModelRegistry, admission: Admission) -> None:
        self._models, self._admission = models, admission

    def collect(self) -> Iterator[Metric]:
        statuses = [(it.id, it.transcriber.status) for it in self._models if it.transcriber is not None]
        yield _make_gauge("requests_in_flight", "Requests in flight.", [((), self._admission.in_flight)])
        yield _make_gauge(
            "admission_wait_seconds",
            "Expected wait of a new request for a slot, in seconds.",
            [((), self._admission.wait_s)],
        )
        yield _make_gauge(
            "model_loaded",
            "Whether the model is loaded.",
            [((it.id,), int(it.transcriber is not None)) for it in self._models],
            "model",
        )
        for name, documentation, values in (
            ("windows_waiting", "Windows that wait for a slot.", [(m, s.waiting) for m, s in statuses]),
            ("slots_busy", "Slots in which a window is decoded.", [(m, s.decoding) for m, s in statuses]),
            ("slots", "Slots of the engine.", [(m, s.slots) for m, s in statuses]),
            (
                "device_call_seconds",
                "Seconds since the current device call started.",
                [(m, s.device_call_s) for m, s in statuses],
            ),
        ):
            yield _make_gauge(name, documentation, [((model,), value) for model, value in values], "model")
        for field, (name, documentation) in ENGINE_HISTOGRAMS.items():
            family = HistogramMetricFamily(METRIC_PREFIX + name, documentation, labels=["model"])
            for model, status in statuses:
                histogram: HistogramSnapshot = getattr(status.stats, field)
                buckets = [(_format_bound(bound), float(count)) for bound, count in histogram.cumulative_counts()]
                family.add_metric([model], buckets, histogram.total)
            yield family
        for name, documentation, sums in (
            ("windows_completed", "Windows decoded.", [(m, s.completed) for m, s in statuses]),
            ("windows_cancelled", "Windows of cancelled requests.", [(m, s.stats.cancelled) for m, s in statuses]),
            ("steps", "Decode steps.", [(m, s.steps) for m, s in statuses]),
            ("tokens", "Tokens of decoded windows.", [(m, s.stats.tokens) for m, s in statuses]),
        ):
            yield _make_counter(name, documentation, [((model,), value) for model, value in sums], "model")
        fallbacks = [((m, reason), n) for m, s in statuses for reason, n in sorted(s.stats.fallbacks.items())]
        yield _make_counter(
            "temperature_fallbacks",
            "Windows decoded again at a higher temperature, by the threshold that rejected the text.",
            fallbacks,
            "model",
            "reason",
        )
        skipped = [
            ((it.id, reason), n)
            for it in self._models
            if it.transcriber is not None
            for reason, n in sorted(it.transcriber.skipped_counts.items())
        ]
        yield _make_counter(
            "regions_skipped", "Regions of audio skipped without text, by reason.", skipped, "model", "reason"
        )
        pools = [(m, s) for m, s in statuses if isinstance(s, PoolStatus)]
        yield _make_gauge(
            "workers_ready", "Worker processes that are ready.", [((m,), s.n_ready) for m, s in pools], "model"
        )
        yield _make_gauge(
            "workers_configured", "Configured worker processes.", [((m,), len(s.workers)) for m, s in pools], "model"
        )
        restarts = [((m,), sum(worker.restarts for worker in s.workers)) for m, s in pools]
        yield _make_counter("worker_restarts", "Restarts of worker processes.", restarts, "model")


Samples = Iterable[tuple[tuple[str, ...], float]]


def _make_gauge(name: str, documentation: str, samples: Samples, *labels: str) -> Metric:
    family = GaugeMetricFamily(METRIC_PREFIX + name, documentation, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _make_counter(name: str, documentation: str, samples: Samples, *labels: str) -> Metric:
    family = CounterMetricFamily(METRIC_PREFIX + name, documentation, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _format_bound(bound: float) -> str:
    """1.0 -> "1.0"; infinity -> "+Inf" """
    return "+Inf" if bound == float("inf") else repr(bound)


def get_route_path(scope: Scope) -> str:
    """The route's template, such as "/v1/models/{model:path}", so that the number of labels is bounded."""
    handler = scope.get("route_handler")
    paths = sorted(getattr(handler, "paths", ()))
    return paths[0] if paths else UNKNOWN_ROUTE
