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
from neuron_whisper.engine.stats import Distribution
from neuron_whisper.server.http.admission import Admission
from neuron_whisper.server.http.request_context import RequestRecord
from neuron_whisper.server.models.registry import Models

PREFIX = "neuron_whisper_"
TOOK_BOUNDS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
RTF_BOUNDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
NO_ROUTE = "other"  # whatever path somebody makes up is one label
REFUSED = (401, 403, 408, 413, 429, 503)
CLIENT_GONE = 499

DISTRIBUTIONS = {
    "encode_s": ("encode_seconds", "Seconds of an encode call, a batch of windows."),
    "prefill_s": ("prefill_seconds", "Seconds of a prefill call."),
    "step_s": ("step_seconds", "Seconds of a decode step of all slots."),
    "align_s": ("align_seconds", "Seconds of an align call, for the times of words."),
    "wait_s": ("queue_wait_seconds", "Seconds that a window waited for a slot."),
    "rows": ("step_rows", "Rows that a decode step computed."),
}


class Metrics:
    """A registry of its own, so that several servers may live in a process. The event loop's thread uses it."""

    def __init__(self, models: Models, admission: Admission) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._requests = Counter(
            f"{PREFIX}requests", "Requests by how they ended.", ["route", "status", "code"], registry=self._registry
        )
        self._took = Histogram(
            f"{PREFIX}request_seconds",
            "From a request's headers to the end of its answer.",
            ["route"],
            buckets=TOOK_BOUNDS_S,
            registry=self._registry,
        )
        self._rejected = Counter(
            f"{PREFIX}rejected", "Requests that were refused, by reason.", ["reason"], registry=self._registry
        )
        self._cancelled = Counter(
            f"{PREFIX}requests_cancelled", "Requests whose client went away.", registry=self._registry
        )
        self._audio = Counter(
            f"{PREFIX}audio_seconds", "Seconds of audio in requests that were answered.", registry=self._registry
        )
        self._rtf = Histogram(
            f"{PREFIX}request_rtf",
            "Seconds that a request took, of each second of its audio.",
            buckets=RTF_BOUNDS,
            registry=self._registry,
        )
        self._registry.register(EngineCollector(models, admission))
        ProcessCollector(registry=self._registry)

    def also(self, collector: Collector) -> None:
        """Tell what `collector` tells, too."""
        self._registry.register(collector)

    def request_ended(self, record: RequestRecord, scope: Scope, took_s: float) -> None:
        route = route_of(scope)
        self._requests.labels(route, str(record.status or CLIENT_GONE), record.code).inc()
        if not record.status or record.status == CLIENT_GONE:
            self._cancelled.inc()
        elif record.status in REFUSED:
            self._rejected.labels(record.code or str(record.status)).inc()
        elif scope["type"] == ScopeType.HTTP:
            self._took.labels(route).observe(took_s)
        if record.status == 200 and record.audio_s:
            self._audio.inc(record.audio_s)
            self._rtf.observe(took_s / record.audio_s)

    def text(self) -> bytes:
        """Prometheus' text format, version 0.0.4."""
        return generate_latest(self._registry)


class EngineCollector(Collector):
    """Reads the engines when it is asked; worker processes told their counts a second ago or so."""

    def __init__(self, models: Models, admission: Admission) -> None:
        self._models, self._admission = models, admission

    def collect(self) -> Iterator[Metric]:
        statuses = [(it.id, it.transcriber.status) for it in self._models if it.transcriber is not None]
        yield _gauge("requests_in_flight", "Requests that are being worked on.", [((), self._admission.in_flight)])
        yield _gauge("admission_wait_seconds", "Estimated wait of a newcomer.", [((), self._admission.wait_s)])
        yield _gauge(
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
            yield _gauge(name, about, [((model,), value) for model, value in values], "model")
        for field, (name, about) in DISTRIBUTIONS.items():
            family = HistogramMetricFamily(PREFIX + name, about, labels=["model"])
            for model, status in statuses:
                found: Distribution = getattr(status.counts, field)
                buckets = [(_bound(bound), float(count)) for bound, count in found.cumulative()]
                family.add_metric([model], buckets, found.total)
            yield family
        for name, about, sums in (
            ("windows_delivered", "Windows decoded.", [(m, s.delivered) for m, s in statuses]),
            ("windows_cancelled", "Windows that nobody waited for.", [(m, s.counts.cancelled) for m, s in statuses]),
            ("steps", "Decode steps.", [(m, s.steps) for m, s in statuses]),
            ("tokens", "Tokens of the windows decoded.", [(m, s.counts.tokens) for m, s in statuses]),
        ):
            yield _counter(name, about, [((model,), value) for model, value in sums], "model")
        gates = [((m, reason), n) for m, s in statuses for reason, n in sorted(s.counts.gates.items())]
        yield _counter(
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
            for reason, n in sorted(it.transcriber.dropped.items())
        ]
        yield _counter("dropped", "Stretches that gave no text.", dropped, "model", "reason")
        pools = [(m, s) for m, s in statuses if isinstance(s, PoolStatus)]
        yield _gauge("workers_ready", "Worker processes up.", [((m,), s.n_ready) for m, s in pools], "model")
        yield _gauge("workers_wanted", "Worker processes.", [((m,), len(s.workers)) for m, s in pools], "model")
        restarts = [((m,), sum(worker.restarts for worker in s.workers)) for m, s in pools]
        yield _counter("worker_restarts", "Worker processes started again.", restarts, "model")


Rows = Iterable[tuple[tuple[str, ...], float]]


def _gauge(name: str, about: str, rows: Rows, *labels: str) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, about, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def _counter(name: str, about: str, rows: Rows, *labels: str) -> Metric:
    family = CounterMetricFamily(PREFIX + name, about, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def _bound(bound: float) -> str:
    """1.0 -> "1.0"; infinity -> "+Inf" """
    return "+Inf" if bound == float("inf") else repr(bound)


def route_of(scope: Scope) -> str:
    """The route's own path, "/v1/models/{model:path}", so that there are as many labels as routes."""
    handler = scope.get("route_handler")
    paths = sorted(getattr(handler, "paths", ()))
    return paths[0] if paths else NO_ROUTE
