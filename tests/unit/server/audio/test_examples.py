"""The examples of the OpenAPI document."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from neuron_whisper.server.audio.examples import (
    EVENT_EXAMPLES,
    JSON_EXAMPLES,
    REQUEST_EXAMPLES,
)
from neuron_whisper.server.audio.schemas import (
    TextDeltaEvent,
    TextDoneEvent,
    TranscriptionResponse,
    VerboseTranscriptionResponse,
)
from tests.support.servers import TRANSCRIPTIONS, RunningServer, tone


@pytest.mark.parametrize(("summary", "form"), REQUEST_EXAMPLES.values(), ids=REQUEST_EXAMPLES)
def test_an_example_of_a_request_is_accepted(server: RunningServer, summary: str, form: dict[str, Any]) -> None:
    texts = {name: json.dumps(value) if isinstance(value, dict) else value for name, value in form.items()}
    del texts["file"]
    with server.client() as client:
        response = client.post(TRANSCRIPTIONS, files={"file": tone(seconds=0.2)}, data=texts)
    assert response.status_code == 200, (summary, response.text)


@pytest.mark.parametrize(("summary", "body"), JSON_EXAMPLES.values(), ids=JSON_EXAMPLES)
def test_an_example_of_a_response_matches_its_schema(summary: str, body: dict[str, Any]) -> None:
    kind = VerboseTranscriptionResponse if "verbose_json" in summary else TranscriptionResponse
    assert msgspec.convert(body, kind)


def test_the_events_of_the_example_stream_match_their_schemas() -> None:
    (_, stream), *_ = EVENT_EXAMPLES.values()
    *deltas, done = [block.removeprefix("data: ") for block in stream.split("\n\n") if block]
    texts = [msgspec.json.decode(event, type=TextDeltaEvent).delta for event in deltas]
    assert "".join(texts) == msgspec.json.decode(done, type=TextDoneEvent).text
