"""A server process: its URL, its log, its end."""

from __future__ import annotations

import signal
import sys

import pytest
import yaml  # type: ignore[import-untyped]  # its types are a package of their own, which nothing else needs

from neuron_whisper.bench.process.server import START_TIMEOUT_S, ServerProcess
from neuron_whisper.errors import TargetUnavailable
from tests.support.paths import ROOT


def test_a_server_that_ends_before_it_listens_is_reported_with_its_log() -> None:
    with pytest.raises(TargetUnavailable, match="its process ended with 7: no port"):
        ServerProcess(["/bin/sh", "-c", "echo no port >&2; exit 7"], ready_path="/")


def test_the_error_of_a_server_that_ends_carries_its_log_as_it_was_written() -> None:
    lines = "".join(f"line {n}\\n" for n in range(100))
    with pytest.raises(TargetUnavailable) as ended:
        ServerProcess(["/bin/sh", "-c", f"printf '{lines}' >&2; exit 7"], ready_path="/")
    [log] = ended.value.__notes__
    assert log.splitlines() == [f"line {n}" for n in range(100)]


def test_a_server_that_does_not_listen_in_time_is_reported_with_its_log_and_ended() -> None:
    command = ["/bin/sh", "-c", "echo loading graphs >&2; exec sleep 60"]
    with pytest.raises(TargetUnavailable, match="it did not listen within 1 s: loading graphs"):
        ServerProcess(command, ready_path="/", start_timeout_s=0.6)


def test_a_server_may_take_as_long_to_start_as_kubernetes_gives_it() -> None:
    (serve, _) = yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / "neuron" / "serve.yaml").read_text())
    (container,) = serve["spec"]["template"]["spec"]["containers"]
    probe = container["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] <= START_TIMEOUT_S


SERVER = """
import http.server, sys
server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
print("starting, see http://example.org/", file=sys.stderr, flush=True)
print(f"listening on http://127.0.0.1:{server.server_address[1]}/", file=sys.stderr, flush=True)
server.serve_forever()
"""


def test_a_server_is_found_by_the_url_it_prints_and_ended_by_sigterm() -> None:
    with ServerProcess([sys.executable, "-c", SERVER], ready_path="/") as server:
        assert server.url.startswith("http://127.0.0.1:")
        assert server.ready_s < 60
        assert 1e6 < server.peak_memory_bytes() < 1e9
        assert "starting" in server.read_log()
        assert server.stop() == -signal.SIGTERM
