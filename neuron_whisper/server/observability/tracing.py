"""OpenTelemetry traces: a span of every request below /v1 and of its stages, exported over OTLP/HTTP.

The span of a request is OpenTelemetry's own, with the attributes of its HTTP conventions. Added are the request's log
fields, which are numbers and names, never audio or text, and a span of each stage.
"""

from __future__ import annotations

import os
import threading
import time
from typing import cast

from litestar.types import ASGIApp, Scope

from neuron_whisper import __version__
from neuron_whisper.errors import InvalidOption
from neuron_whisper.server.http.request_context import RequestContext
from neuron_whisper.server.observability.metrics import get_route_path

UNTRACED_URLS = r"^\w+://[^/]*/(?!v1/|invocations\b)"
SHUTDOWN_TIMEOUT_S = 2.0  # for the last spans; an unreachable collector must not delay shutdown


class TraceExporter:
    """Exports spans in a thread. The SDK's variables (OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, ...) apply."""

    def __init__(self, endpoint: str) -> None:
        """`endpoint` is the collector's, e.g. http://127.0.0.1:4318. Raises InvalidOption without OpenTelemetry."""
        # read when the instrumentation is imported: the stable attribute names, unless the user chose others
        os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
        try:
            from opentelemetry import trace
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
            from opentelemetry.metrics import NoOpMeterProvider
            from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError:
            hint = 'tracing needs OpenTelemetry; pip install "neuron-whisper[otel]"'
            raise InvalidOption("otlp_endpoint", endpoint, hint) from None
        attributes = {SERVICE_VERSION: __version__}
        if "OTEL_SERVICE_NAME" not in os.environ:
            attributes[SERVICE_NAME] = "neuron-whisper"
        self._provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")))
        self._tracer = self._provider.get_tracer("neuron_whisper.server", __version__)
        self._get_current_span = trace.get_current_span
        self._middleware, self._meter_provider = OpenTelemetryMiddleware, NoOpMeterProvider()

    def instrument(self, app: ASGIApp) -> ASGIApp:
        """`app` with a span of every request below /v1, in the trace of the request's traceparent."""
        instrumented = self._middleware(
            app,
            excluded_urls=UNTRACED_URLS,
            tracer_provider=self._provider,
            meter_provider=self._meter_provider,  # Prometheus has the metrics
            exclude_spans=["receive", "send"],
        )
        return cast("ASGIApp", instrumented)

    def describe_request(self, context: RequestContext, scope: Scope, method: str) -> None:
        """Name the current span by its route and add the log fields, before the last byte, which ends the span."""
        span = self._get_current_span()
        if not span.is_recording():
            return
        route = get_route_path(scope)
        span.update_name(f"{method} {route}")
        span.set_attributes({f"neuron_whisper.{name}": str(value) for name, value in context.log_fields.items()})
        span.set_attributes(
            {
                "http.route": route,
                "neuron_whisper.request_id": context.id,
                "neuron_whisper.decoded_s": context.audio_s,
            }
        )
        if context.error_code:
            span.set_attribute("error.type", context.error_code)

    def export_stages(self, context: RequestContext) -> str:
        """Export the stages of the current request. Returns its trace id, "" where it is not traced."""
        parent = self._get_current_span().get_span_context()
        if not parent.is_valid:
            return ""
        since_epoch = time.time_ns() - int(1e9 * time.perf_counter())
        for stage in context.stages:
            started, ended = (since_epoch + int(1e9 * moment) for moment in (stage.started, stage.ended))
            self._tracer.start_span(stage.name, start_time=started).end(ended)
        return f"{parent.trace_id:032x}"

    def close(self) -> None:
        """Export the remaining spans, for SHUTDOWN_TIMEOUT_S at most."""
        thread = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        thread.start()
        thread.join(SHUTDOWN_TIMEOUT_S)
