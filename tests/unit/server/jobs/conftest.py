"""One server with a jobs directory, and its client."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from neuron_whisper.server import ServerSettings
from tests.support.servers import RunningServer, run_server


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    settings = ServerSettings(vad_filter=False, jobs_dir=tmp_path_factory.mktemp("jobs") / "jobs")
    with run_server(settings) as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with server.client() as connected:
        yield connected
