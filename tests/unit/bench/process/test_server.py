"""A server process: its URL, its log, its end."""

from __future__ import annotations

import signal
import sys

import pytest

from neuron_whisper.bench.process.server import ServerProcess
from neuron_whisper.errors import TargetUnavailable


def test_a_server_that_ends_before_it_listens_is_reported_with_its_log() -> None:
    with pytest.raises(TargetUnavailable, match="its process ended with 7: no port"):
        ServerProcess(["/bin/sh", "-c", "echo no port >&2; exit 7"], ready_path="/")


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
