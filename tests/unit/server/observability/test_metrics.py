"""Prometheus metrics."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.support.servers import TRANSCRIPTIONS, RunningServer, read_error, run_server, tone

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(server: RunningServer) -> Samples:
    """Every sample of /metrics, by name and labels."""
    with server.client() as client:
        answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(answer.text)
    return {(it.name, frozenset(it.labels.items())): it.value for family in families for it in family.samples}


def read_value(samples: Samples, name: str, **labels: str) -> float:
    return samples[f"neuron_whisper_{name}", frozenset(labels.items())]


def test_a_served_request_is_counted_with_its_audio_and_engine_calls() -> None:
    with run_server() as server:
        assert server.post(tone(seconds=2.0)).status_code == 200
        assert read_error(server.post(b"no sound"), 400)
        found = scrape(server)
    route = TRANSCRIPTIONS
    assert read_value(found, "requests_total", route=route, status="200", code="") == 1
    assert read_value(found, "requests_total", route=route, status="400", code="audio_unreadable") == 1
    assert read_value(found, "audio_seconds_total") == 2.0
    assert read_value(found, "request_rtf_count") == 1
    assert read_value(found, "windows_completed_total", model="turbo") == 1
    assert read_value(found, "tokens_total", model="turbo") > 0
    assert read_value(found, "encode_seconds_count", model="turbo") == 1
    assert read_value(found, "step_seconds_count", model="turbo") == read_value(found, "steps_total", model="turbo")
    assert read_value(found, "step_rows_bucket", model="turbo", le="1.0") == read_value(
        found, "steps_total", model="turbo"
    )
    assert read_value(found, "queue_wait_seconds_bucket", model="turbo", le="+Inf") == 1
    assert read_value(found, "slots", model="turbo") == 3
    assert read_value(found, "slots_busy", model="turbo") == read_value(found, "requests_in_flight") == 0
    assert ("process_resident_memory_bytes", frozenset()) in found


def test_unknown_paths_share_one_label() -> None:
    with run_server() as server, server.client() as client:
        for n in range(5):
            client.get(f"/made/up/{n}")
        found = scrape(server)
    assert read_value(found, "requests_total", route="other", status="404", code="unknown_url") == 5
    assert not any("made" in label for _, labels in found for _, label in labels)


def test_a_cancelled_request_is_counted_and_frees_its_slot() -> None:
    with run_server(slots=1) as server:
        assert server.post().status_code == 200  # the first request also starts the process that decodes audio
        server.session.gate.clear()
        try:
            httpx.post(server.url + TRANSCRIPTIONS, files={"file": tone()}, timeout=httpx.Timeout(20, read=0.3))
        except httpx.ReadTimeout:
            server.wait_for(requests=0)
        server.session.gate.set()
        server.wait_for(decoding=0, waiting=0)
        found = scrape(server)
    assert read_value(found, "requests_cancelled_total") == 1
    assert read_value(found, "windows_cancelled_total", model="turbo") == 1


def test_what_a_limit_refuses_is_counted_by_reason_and_a_mistake_is_not() -> None:
    with run_server() as server, server.client() as client:
        clip = {"file": tone()}
        client.post(TRANSCRIPTIONS, files=clip, data={"prompt": "x" * 20_000})
        client.post(TRANSCRIPTIONS, files=clip, data={"keywords[]": ["x" * 16_000] * 2})
        client.post(TRANSCRIPTIONS, files=clip, headers={"content-encoding": "gzip"})
        client.post(TRANSCRIPTIONS, content=b"", headers={"transfer-encoding": "chunked", "content-length": "0"})
        client.post(TRANSCRIPTIONS, files=clip, data={"beam_size": "many"})
        found = scrape(server)
    reasons = {
        dict(labels)["reason"]: value
        for (name, labels), value in found.items()
        if name == "neuron_whisper_requests_rejected_total"
    }
    assert reasons == {"text_too_long": 2, "unsupported_encoding": 1, "ambiguous_length": 1}
