"""OpenTelemetry traces: a span of every request below /v1 and of its stages, exported over OTLP/HTTP.

Spans are made from a request's context when it ends, so tracing never delays it. Their attributes are its log
fields: numbers and names, never audio or text.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from litestar.types import Scope

from neuron_whisper import __version__
from neuron_whisper.errors import InvalidOption
from neuron_whisper.server.http.request_context import RequestContext
from neuron_whisper.server.observability.metrics import get_route_path

if TYPE_CHECKING:
    from opentelemetry.trace import Span

TRACED_PREFIX = "/v1"
SHUTDOWN_TIMEOUT_S = 2.0  # for the last spans; an unreachable collector must not delay shutdown
SERVER_ERROR_STATUS = 500


class TraceExporter:
    """Exports spans in a thread. The SDK's variables (OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, ...) apply."""

    def __init__(self, endpoint: str) -> None:
        """`endpoint` is the collector's, e.g. http://127.0.0.1:4318. Raises InvalidOption where the SDK is missing."""
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError:
            install = 'tracing needs OpenTelemetry; pip install "neuron-whisper[otel]"'
            raise InvalidOption("otlp_endpoint", endpoint, install) from None
        attributes = {SERVICE_VERSION: __version__}
        if "OTEL_SERVICE_NAME" not in os.environ:
            attributes[SERVICE_NAME] = "neuron-whisper"
        self._provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")))
        self._tracer = self._provider.get_tracer("neuron_whisper.server", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def export_request(self, context: RequestContext, scope: Scope, method: str) -> str:
        """Export the spans of a request, in the trace of its traceparent. Returns the trace id, "" if not traced."""
        from opentelemetry.trace import SpanKind, set_span_in_context

        if not scope["path"].startswith(TRACED_PREFIX):
            return ""
        ended = time.perf_counter()
        since_epoch = time.time_ns() - int(1e9 * ended)

        def at(moment: float) -> int:
            return since_epoch + int(1e9 * moment)

        route = get_route_path(scope)
        span = self._tracer.start_span(
            f"{method} {route}",
            kind=SpanKind.SERVER,
            start_time=at(context.started),
            attributes=_to_attributes(context),
            context=self._propagator.extract(_read_trace_headers(scope)),
        )
        span.set_attributes({"http.route": route, "http.request.method": method})
        _set_status(span, context)
        inside = set_span_in_context(span)
        for stage in context.stages:
            self._tracer.start_span(stage.name, context=inside, start_time=at(stage.started)).end(at(stage.ended))
        span.end(at(ended))
        return f"{span.get_span_context().trace_id:032x}"

    def close(self) -> None:
        """Export the remaining spans, for SHUTDOWN_TIMEOUT_S at most."""
        closing = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        closing.start()
        closing.join(SHUTDOWN_TIMEOUT_S)


def _to_attributes(context: RequestContext) -> Mapping[str, str | float]:
    fields = {f"neuron_whisper.{name}": str(value) for name, value in context.log_fields.items()}
    return {**fields, "neuron_whisper.request_id": context.id, "neuron_whisper.decoded_s": context.audio_s}


def _set_status(span: Span, context: RequestContext) -> None:
    from opentelemetry.trace import StatusCode

    if context.status:
        span.set_attribute("http.response.status_code", context.status)
    if context.error_code:
        span.set_attribute("error.type", context.error_code)
    if context.status >= SERVER_ERROR_STATUS:
        span.set_status(StatusCode.ERROR, context.error_code)


def _read_trace_headers(scope: Scope) -> dict[str, str]:
    sent = {name: value.decode("latin-1") for name, value in scope["headers"]}
    return {name.decode(): sent[name] for name in (b"traceparent", b"tracestate") if name in sent}
