"""Health routes."""

from __future__ import annotations

import contextlib
import time

import httpx
from prometheus_client.parser import text_string_to_metric_families

from neuron_whisper.server import ServerSettings
from tests.support.servers import TRANSCRIPTIONS, RunningServer, run_server, tone

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


def test_a_hung_device_call_turns_liveness_off() -> None:
    with run_server(ServerSettings(hang_s=0.2, vad_filter=False)) as server, server.client() as client:
        assert client.get("/health/live").status_code == 200
        assert server.post().status_code == 200  # the first request also starts the process that decodes audio
        server.session.gate.clear()
        with contextlib.suppress(httpx.ReadTimeout):
            httpx.post(server.url + TRANSCRIPTIONS, files={"file": tone()}, timeout=httpx.Timeout(20, read=0.3))
        ends = time.monotonic() + 20
        while client.get("/health/live").status_code == 200:
            assert time.monotonic() < ends
        assert client.get("/health/live").json() == {"status": "device_hung"}
        assert client.get("/health/ready").json()["status"] == "device_hung"
        assert read_value(scrape(server), "device_call_seconds", model="turbo") > 0.2
        server.session.gate.set()
        while client.get("/health/live").status_code != 200:
            assert time.monotonic() < ends


def test_readiness_has_models_and_counts(server: RunningServer) -> None:
    with server.client() as client:
        assert client.get("/health/live").json() == {"status": "alive"}
        ready = client.get("/health/ready")
    assert ready.status_code == 200
    assert ready.json() == {
        "status": "ready",
        "model": "turbo",
        "models": {"turbo": "loaded"},
        "waiting": 0,
        "decoding": 0,
        "requests": 0,
    }
