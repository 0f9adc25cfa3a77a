"""The result of a job in every response format."""

from __future__ import annotations

import json

import pytest

from neuron_whisper.server.jobs.entities import Job
from neuron_whisper.server.jobs.response import RESULT_FORMATS, to_result_response
from neuron_whisper.transcript import Segment, Transcript

SEGMENT = Segment(
    id=0,
    seek_s=0.0,
    start_s=0.0,
    end_s=1.5,
    text=" Hello.",
    tokens=(1,),
    temperature=0.0,
    avg_logprob=-0.2,
    compression_ratio=1.0,
    no_speech_prob=0.0,
)
TRANSCRIPT = Transcript(text=" Hello.", language="en", duration_s=2.0, segments=(SEGMENT,))
JOB = Job(
    id="job_1",
    created_at=0.0,
    task="transcribe",
    fields={},
    model="turbo",
    response_format="json",
    file_name="a.wav",
)


@pytest.mark.parametrize(
    ("response_format", "media_type", "expected"),
    [
        ("text", "text/plain", "Hello.\n"),
        ("srt", "text/plain", "1\n00:00:00,000 --> 00:00:01,500\nHello.\n\n"),
        ("vtt", "text/vtt", "WEBVTT\n\n00:00.000 --> 00:01.500\nHello.\n\n"),
        ("tsv", "text/tab-separated-values", "start\tend\ttext\n0\t1500\tHello.\n"),
    ],
)
def test_a_text_format_has_its_media_type(response_format: str, media_type: str, expected: str) -> None:
    response = to_result_response(JOB, TRANSCRIPT, response_format)
    assert response.content.decode() == expected
    assert str(response.media_type).startswith(media_type)


@pytest.mark.parametrize("response_format", ["json", "verbose_json"])
def test_a_json_format_has_the_text(response_format: str) -> None:
    assert json.loads(to_result_response(JOB, TRANSCRIPT, response_format).content)["text"].strip() == "Hello."


def test_the_formats_are_those_of_the_audio_api_and_tsv() -> None:
    assert set(RESULT_FORMATS) == {"json", "text", "srt", "verbose_json", "vtt", "tsv"}
