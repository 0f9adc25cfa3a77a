"""What Prometheus is told: requests as they end, and at each look what the engines have counted."""

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
from neuron_whisper.server.http.request_context import RequestContext
from neuron_whisper.server.models.registry import ModelRegistry

METRIC_PREFIX = "neuron_whisper_"
REQUEST_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
RTF_BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
UNKNOWN_ROUTE = "other"  # whatever path somebody makes up is one label
REJECTED_STATUSES = (401, 403, 408, 413, 429, 503)
CLIENT_CLOSED_REQUEST = 499

ENGINE_HISTOGRAMS = {
    "encode_s": ("encode_seconds", "Seconds of an encode call, a batch of windows."),
    "prefill_s": ("prefill_seconds", "Seconds of a prefill call."),
    "step_s": ("step_seconds", "Seconds of a decode step of all slots."),
    "align_s": ("align_seconds", "Seconds of an align call, for the times of words."),
    "wait_s": ("queue_wait_seconds", "Seconds that a window waited for a slot."),
    "rows": ("step_rows", "Rows that a decode step computed."),
}


class Metrics:
    """A registry of its own, so that several servers may live in a process. The event loop's thread uses it."""

    def __init__(self, models: ModelRegistry, admission: Admission) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._requests = Counter(
            f"{METRIC_PREFIX}requests",
            "Requests by how they ended.",
            ["route", "status", "code"],
            registry=self._registry,
        )
        self._request_seconds = Histogram(
            f"{METRIC_PREFIX}request_seconds",
            "From a request's headers to the end of its answer.",
            ["route"],
            buckets=REQUEST_BUCKETS_S,
            registry=self._registry,
        )
        self._rejected = Counter(
            f"{METRIC_PREFIX}rejected", "Requests that were refused, by reason.", ["reason"], registry=self._registry
        )
        self._cancelled = Counter(
            f"{METRIC_PREFIX}requests_cancelled", "Requests whose client went away.", registry=self._registry
        )
        self._audio_seconds = Counter(
            f"{METRIC_PREFIX}audio_seconds", "Seconds of audio in requests that were answered.", registry=self._registry
        )
        self._rtf = Histogram(
            f"{METRIC_PREFIX}request_rtf",
            "Seconds that a request took, of each second of its audio.",
            buckets=RTF_BUCKETS,
            registry=self._registry,
        )
        self._registry.register(EngineCollector(models, admission))
        ProcessCollector(registry=self._registry)

    def register(self, collector: Collector) -> None:
        """Tell what `collector` tells, too."""
        self._registry.register(collector)

    def record_request(self, record: RequestContext, scope: Scope, took_s: float) -> None:
        route = get_route_path(scope)
        self._requests.labels(route, str(record.status or CLIENT_CLOSED_REQUEST), record.error_code).inc()
        if not record.status or record.status == CLIENT_CLOSED_REQUEST:
            self._cancelled.inc()
        elif record.status in REJECTED_STATUSES:
            self._rejected.labels(record.error_code or str(record.status)).inc()
        elif scope["type"] == ScopeType.HTTP:
            self._request_seconds.labels(route).observe(took_s)
        if record.status == 200 and record.audio_s:
            self._audio_seconds.inc(record.audio_s)
            self._rtf.observe(took_s / record.audio_s)

    def render(self) -> bytes:
        """Prometheus' text format, version 0.0.4."""
        return generate_latest(self._registry)


class EngineCollector(Collector):
    """Reads the engines when it is asked; worker processes told their counts a second ago or so."""

    def __init__(self, models: ModelRegistry, admission: Admission) -> None:
        self._models, self._admission = models, admission

    def collect(self) -> Iterator[Metric]:
        statuses = [(it.id, it.transcriber.status) for it in self._models if it.transcriber is not None]
        yield _make_gauge("requests_in_flight", "Requests that are being worked on.", [((), self._admission.in_flight)])
        yield _make_gauge("admission_wait_seconds", "Estimated wait of a newcomer.", [((), self._admission.wait_s)])
        yield _make_gauge(
            "model_loaded",
            "Whether the model is loaded.",
            [((it.id,), int(it.transcriber is not None)) for it in self._models],
            "model",
        )
        for name, about, values in (
            ("windows_waiting", "Windows that wait for a slot.", [(m, s.waiting) for m, s in statuses]),
            ("slots_busy", "Slots in which a window is decoded.", [(m, s.decoding) for m, s in statuses]),
            ("slots", "Slots there are.", [(m, s.slots) for m, s in statuses]),
            (
                "device_call_seconds",
                "How long the present device call has taken.",
                [(m, s.device_call_s) for m, s in statuses],
            ),
        ):
            yield _make_gauge(name, about, [((model,), value) for model, value in values], "model")
        for field, (name, about) in ENGINE_HISTOGRAMS.items():
            family = HistogramMetricFamily(METRIC_PREFIX + name, about, labels=["model"])
            for model, status in statuses:
                found: HistogramSnapshot = getattr(status.stats, field)
                buckets = [(_format_bound(bound), float(count)) for bound, count in found.cumulative_counts()]
                family.add_metric([model], buckets, found.total)
            yield family
        for name, about, sums in (
            ("windows_delivered", "Windows decoded.", [(m, s.completed) for m, s in statuses]),
            ("windows_cancelled", "Windows that nobody waited for.", [(m, s.stats.cancelled) for m, s in statuses]),
            ("steps", "Decode steps.", [(m, s.steps) for m, s in statuses]),
            ("tokens", "Tokens of the windows decoded.", [(m, s.stats.tokens) for m, s in statuses]),
        ):
            yield _make_counter(name, about, [((model,), value) for model, value in sums], "model")
        gates = [((m, reason), n) for m, s in statuses for reason, n in sorted(s.stats.fallbacks.items())]
        yield _make_counter(
            "gates_fired",
            "Texts of a window that were not taken, so that it was decoded again.",
            gates,
            "model",
            "reason",
        )
        dropped = [
            ((it.id, reason), n)
            for it in self._models
            if it.transcriber is not None
            for reason, n in sorted(it.transcriber.skipped_counts.items())
        ]
        yield _make_counter("dropped", "Stretches that gave no text.", dropped, "model", "reason")
        pools = [(m, s) for m, s in statuses if isinstance(s, PoolStatus)]
        yield _make_gauge("workers_ready", "Worker processes up.", [((m,), s.n_ready) for m, s in pools], "model")
        yield _make_gauge("workers_wanted", "Worker processes.", [((m,), len(s.workers)) for m, s in pools], "model")
        restarts = [((m,), sum(worker.restarts for worker in s.workers)) for m, s in pools]
        yield _make_counter("worker_restarts", "Worker processes started again.", restarts, "model")


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
    """The route's own path, "/v1/models/{model:path}", so that there are as many labels as routes."""
    handler = scope.get("route_handler")
    paths = sorted(getattr(handler, "paths", ()))
    return paths[0] if paths else UNKNOWN_ROUTE
