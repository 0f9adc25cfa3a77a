"""Fields of other APIs that change nothing here."""

from __future__ import annotations

import pytest

from neuron_whisper.server.audio.ignored_fields import is_ignored, list_ignored_fields
from tests.support.servers import TRANSCRIPTIONS, RunningServer, read_error, tone

TRANSLATIONS = "/v1/audio/translations"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("metadata", '{"a": 1}'),
        ("metadata[run]", "7"),
        ("user", "ann"),
        ("diarize", "false"),
        ("diarize", "0"),
        ("speaker_labels", "false"),
        ("task", "transcribe"),
        ("n", "1"),
        ("top_p", "1.0"),
        ("frequency_penalty", "0"),
        ("word_timestamps", "False"),
    ],
)
@pytest.mark.parametrize("response_format", ["json", "verbose_json"])
def test_a_field_without_meaning_is_ignored_with_a_warning(
    server: RunningServer, name: str, value: str, response_format: str
) -> None:
    with server.client() as client:
        data = {name: value, "response_format": response_format}
        body = client.post(TRANSCRIPTIONS, files={"file": tone()}, data=data).json()
        plain = client.post(TRANSCRIPTIONS, files={"file": tone()}).json()
    assert body["text"].strip() == plain["text"]
    assert [warning.partition(":")[0] for warning in body["warnings"]] == [name.partition("[")[0]]


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        (TRANSCRIPTIONS, "diarize", "true"),
        (TRANSLATIONS, "diarize", "1"),
        (TRANSCRIPTIONS, "speaker_labels", "true"),
        (TRANSCRIPTIONS, "task", "translate"),
        (TRANSLATIONS, "task", "transcribe"),
        (TRANSCRIPTIONS, "n", "2"),
        (TRANSCRIPTIONS, "word_timestamps", "true"),
        (TRANSCRIPTIONS, "metadatas", "x"),
    ],
)
def test_a_value_that_would_change_the_result_is_refused(
    server: RunningServer, path: str, name: str, value: str
) -> None:
    with server.client() as client:
        error = read_error(client.post(path, files={"file": tone()}, data={name: value}), 400)
    assert error["param"] == name


@pytest.mark.parametrize("response_format", ["json", "text"])
def test_granularities_are_ignored_by_formats_without_them(server: RunningServer, response_format: str) -> None:
    data = {"timestamp_granularities[]": ["word", "segment"], "response_format": response_format}
    with server.client() as client:
        answer = client.post(TRANSCRIPTIONS, files={"file": tone()}, data=data)
    assert answer.status_code == 200
    if response_format == "json":
        assert answer.json()["warnings"][0].startswith("timestamp_granularities: ignored")


def test_a_stream_ends_with_the_warnings(server: RunningServer) -> None:
    with server.client() as client:
        answer = client.post(TRANSCRIPTIONS, files={"file": tone()}, data={"user": "ann", "stream": "1"})
    assert "user: ignored" in answer.text.strip().rpartition("\n\n")[2]


def test_blank_fields_are_absent_fields(server: RunningServer) -> None:
    blank = dict.fromkeys(
        ("language", "prompt", "temperature", "response_format", "best_of", "vad_filter", "stream", "task", "diarize"),
        "",
    )
    with server.client() as client:
        data = {**blank, "known_speaker_names[]": "", "timestamp_granularities[]": " ", "model": " whisper-1 "}
        body = client.post(TRANSCRIPTIONS, files={"file": tone()}, data=data).json()
    assert "warnings" not in body
    assert body["text"]


def test_each_ignored_field_is_listed_once() -> None:
    texts = {"metadata[a]": ["1"], "metadata[b]": ["2"], "user": [" "], "task": ["transcribe"], "language": ["de"]}
    assert list_ignored_fields(texts, ["language"]) == ["metadata", "task"]
    assert list_ignored_fields(texts, ["language", "task"]) == ["metadata"]  # of a form that has the field
    assert is_ignored("anything", " ", "transcribe")
