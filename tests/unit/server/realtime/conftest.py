"""One server for the tests of the realtime sockets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.realtime_clients import SETTINGS
from tests.support.servers import RunningServer, run_server


@pytest.fixture(scope="package")
def server() -> Iterator[RunningServer]:
    with run_server(SETTINGS) as running:
        yield running
