"""Limits: who is taken when there is more work than time, and what slow clients cost the others."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from neuron_whisper.server import ServerSettings
from tests.support.servers import read_error, run_server


def test_more_requests_than_there_may_be_are_refused_at_once_and_the_others_served() -> None:
    settings = ServerSettings(max_requests=2, vad_filter=False)
    with run_server(settings, slots=1) as server, ThreadPoolExecutor() as clients:
        server.session.gate.clear()
        held = [clients.submit(server.post) for _ in range(2)]
        server.wait_for(requests=2)
        refused = server.post()
        assert read_error(refused, 503)["code"] == "overloaded"
        assert int(refused.headers["retry-after"]) >= 1
        server.session.gate.set()
        assert [it.result().status_code for it in held] == [200, 200]
        server.wait_for(requests=0)
        with server.client() as client:
            metrics = client.get("/metrics").text
        assert 'neuron_whisper_requests_rejected_total{reason="overloaded"} 1.0' in metrics


# --- slow clients ---------------------------------------------------------------------------------
