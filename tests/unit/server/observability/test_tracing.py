"""The exporter of traces, without a collector."""

from __future__ import annotations

import re
import sys
import time

import pytest

from neuron_whisper.errors import InvalidOption
from neuron_whisper.server.http.request_context import RequestContext
from neuron_whisper.server.observability.tracing import UNTRACED_URLS, TraceExporter

UNREACHABLE = "http://127.0.0.1:9"  # the discard port: nothing listens there


@pytest.mark.parametrize(
    ("url", "is_traced"),
    [
        ("http://127.0.0.1:8000/v1/audio/transcriptions", True),
        ("https://asr.example.org/v1/models/openai/whisper-tiny", True),
        ("ws://127.0.0.1:8000/v1/realtime", True),
        ("http://127.0.0.1:8000/health/live", False),
        ("http://127.0.0.1:8000/metrics", False),
        ("http://127.0.0.1:8000/schema/v1/", False),
        ("http://127.0.0.1:8000/", False),
    ],
)
def test_only_urls_below_v1_are_traced(url: str, is_traced: bool) -> None:
    assert (re.search(UNTRACED_URLS, url) is None) == is_traced


def test_outside_a_span_nothing_is_exported() -> None:
    tracing = TraceExporter(UNREACHABLE)
    context = RequestContext(id="req_1", started=time.perf_counter())
    assert tracing.export_stages(context) == ""
    tracing.close()


def test_without_opentelemetry_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.instrumentation.asgi", None)
    with pytest.raises(InvalidOption) as caught:
        TraceExporter(UNREACHABLE)
    assert caught.value.field == "otlp_endpoint"
    assert "neuron-whisper[otel]" in caught.value.allowed
