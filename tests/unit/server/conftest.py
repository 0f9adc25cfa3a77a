"""Servers and documents that the tests of server/ share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from neuron_whisper.server import ServerSettings, create_app
from neuron_whisper.transcriber import Transcriber
from tests.support.servers import RunningServer, make_transcriber, run_server


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """A server in a thread of this process."""
    with run_server() as running:
        yield running


@pytest.fixture(scope="session")
def transcriber() -> Iterator[Transcriber]:
    """A transcriber whose tokens are bytes."""
    made, _ = make_transcriber()
    yield made
    made.close()


@pytest.fixture(scope="session")
def document(transcriber: Transcriber) -> dict[str, Any]:
    """The OpenAPI document."""
    app = create_app(transcriber, ServerSettings(vad_filter=False))
    return app.openapi_schema.to_schema()
