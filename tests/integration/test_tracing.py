"""Spans of requests, as a collector gets them: the SDK's own exporter over HTTP to a socket of the test's."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from neuron_whisper.errors import InvalidOption
from neuron_whisper.server import ServerSettings
from tests.support.job_clients import FakeRemoteServer, run_remote_server
from tests.support.servers import TRANSCRIPTIONS, RunningServer, run_server, tone

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
Span = dict[str, Any]


def read_resources(collector: FakeRemoteServer) -> Iterator[ResourceSpans]:
    for _, body in collector.posts:
        yield from ExportTraceServiceRequest.FromString(body).resource_spans


def read_spans(collector: FakeRemoteServer) -> Iterator[Span]:
    """The spans that a server exported; it has ended, which exports the last ones."""
    for span in (
        span for resource in read_resources(collector) for scope in resource.scope_spans for span in scope.spans
    ):
        fields: Span = MessageToDict(span)
        fields["facts"] = {it.key: MessageToDict(it.value) for it in span.attributes}
        fields["ids"] = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
        yield fields


def run_traced_server(url: str) -> AbstractContextManager[RunningServer]:
    return run_server(ServerSettings(vad_filter=False, otlp_endpoint=url))


def test_a_request_is_a_span_in_its_callers_trace_with_its_stages_below_it() -> None:
    with run_remote_server() as collector, run_traced_server(collector.url) as server, server.client() as client:
        answer = client.post(
            TRANSCRIPTIONS,
            files={"file": ("tone.wav", tone(seconds=2.0))},
            data={"language": "en"},
            headers={"traceparent": f"00-{TRACE}-{PARENT}-01"},
        )
        client.get("/health/live")
        client.get("/metrics")
    spans_by_name = {span["name"]: span for span in read_spans(collector)}
    assert set(spans_by_name) == {f"POST {TRANSCRIPTIONS}", "receive", "decode audio", "transcribe"}, (
        "and none of a probe"
    )
    assert set(collector.posted_paths) == {"/v1/traces"}
    facts_of_server = {it.key: it.value.string_value for it in next(read_resources(collector)).resource.attributes}
    assert facts_of_server["service.name"] == "neuron-whisper"
    request = spans_by_name[f"POST {TRANSCRIPTIONS}"]
    trace, own, parent = request["ids"]
    assert (trace, parent, request["kind"]) == (TRACE, PARENT, "SPAN_KIND_SERVER")
    facts = request["facts"]
    assert facts["http.route"] == {"stringValue": TRANSCRIPTIONS}
    assert facts["http.response.status_code"] == {"intValue": "200"}
    assert facts["neuron_whisper.request_id"] == {"stringValue": answer.headers["x-request-id"]}
    assert facts["neuron_whisper.decoded_s"] == {"doubleValue": 2.0}
    assert answer.json()["text"] not in str(request), "no text"
    stages = [spans_by_name[name] for name in ("receive", "decode audio", "transcribe")]
    assert all(stage["ids"][0] == TRACE and stage["ids"][2] == own for stage in stages)
    times = [request["startTimeUnixNano"]]
    for stage in stages:
        times += [stage["startTimeUnixNano"], stage["endTimeUnixNano"]]
    assert times == sorted(times), "one stage after another, inside the request"
    assert times[-1] <= request["endTimeUnixNano"]


def test_an_error_is_an_attribute_and_a_request_without_a_trace_gets_one() -> None:
    with run_remote_server() as collector, run_traced_server(collector.url) as server:
        assert server.post(b"no sound").status_code == 400
    (request,) = [span for span in read_spans(collector) if span["name"].startswith("POST")]
    assert request["facts"]["error.type"] == {"stringValue": "audio_unreadable"}
    assert request["facts"]["http.response.status_code"] == {"intValue": "400"}
    assert request["ids"][0] != TRACE
    assert not request["ids"][2]
    assert "code" not in request.get("status", {}), "the caller's fault is not the server's"


def test_the_log_names_the_trace(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "neuron_whisper")
    with run_remote_server() as collector, run_traced_server(collector.url) as server, server.client() as client:
        client.get("/v1/models", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
        client.get("/health/live")
    lines = [record.getMessage() for record in caplog.records if "request id=" in record.getMessage()]
    assert [f"trace={TRACE}" in line for line in lines] == [True, False]


def test_an_unreachable_collector_delays_neither_requests_nor_shutdown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "3")  # seconds, more than shutdown waits
    with run_remote_server() as collector:
        pass
    with run_traced_server(collector.url) as server:
        assert server.post().status_code == 200
    # the exporter goes on behind the server's end and draws random pauses, which other tests would hear of
    for thread in threading.enumerate():
        if thread.name == "last spans":
            thread.join(30)
            assert not thread.is_alive()


@pytest.mark.parametrize("endpoint", ["collector:4318", "ftp://collector", "", "http://collector:4318/?x=1"])
def test_an_endpoint_that_is_none_is_refused_by_name(endpoint: str) -> None:
    with pytest.raises(InvalidOption, match="otlp_endpoint"):
        ServerSettings(otlp_endpoint=endpoint)


def test_without_the_sdk_the_server_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(InvalidOption, match=r"neuron-whisper\[otel\]"), run_traced_server("http://127.0.0.1:4318"):
        pass
