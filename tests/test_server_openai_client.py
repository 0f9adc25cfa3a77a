"""The official openai client against the running server."""

from __future__ import annotations

import re
from collections.abc import Iterator

import openai
import pytest

from tests.servers import PATIENCE_S, Running, running, tone

CLIP = ("tone.wav", tone(500, 0.4))


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as made:
        yield made


@pytest.fixture
def client(server: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=PATIENCE_S) as made:
        yield made


@pytest.fixture(scope="module")
def text(server: Running) -> str:
    """What the program says to the clip."""
    said = str(server.post(CLIP[1]).json()["text"])
    assert said
    return said


def test_json_is_the_default_and_carries_text_and_usage(client: openai.OpenAI, text: str) -> None:
    answer = client.audio.transcriptions.create(file=CLIP, model="whisper-1")
    assert answer.text == text
    assert answer.to_dict()["usage"] == {"type": "duration", "seconds": 1}


def test_verbose_json_has_language_duration_and_segments_with_times(client: openai.OpenAI) -> None:
    answer = client.audio.transcriptions.create(
        file=CLIP, model="turbo", response_format="verbose_json", timestamp_granularities=["segment"], language="de"
    )
    assert (answer.language, answer.duration) == ("german", 0.4)
    assert answer.segments
    assert "".join(segment.text for segment in answer.segments).strip() == answer.text
    assert all(0 <= segment.start < segment.end for segment in answer.segments)
    assert answer.usage is not None
    assert answer.usage.seconds == 1


def test_words_have_times_inside_their_clip(client: openai.OpenAI) -> None:
    answer = client.audio.transcriptions.create(
        file=CLIP, model="turbo", response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    assert answer.words
    assert "".join(word.word for word in answer.words) == "".join(answer.text.split())
    assert all(0 <= word.start <= word.end <= 0.5 for word in answer.words)
    assert answer.segments


def test_a_temperature_is_sampled_at_and_told(client: openai.OpenAI) -> None:
    answer = client.audio.transcriptions.create(
        file=CLIP, model="turbo", response_format="verbose_json", temperature=0.6
    )
    assert answer.segments
    assert {segment.temperature for segment in answer.segments} == {0.6}


def test_text_is_the_text_alone(client: openai.OpenAI, text: str) -> None:
    answer = client.audio.transcriptions.create(file=CLIP, model="turbo", response_format="text")
    assert answer == " ".join(text.split()) + "\n"


def test_srt_has_numbered_cues_with_a_comma_in_their_times(client: openai.OpenAI) -> None:
    answer = client.audio.transcriptions.create(file=CLIP, model="turbo", response_format="srt")
    assert re.match(r"1\n\d\d:\d\d:\d\d,\d{3} --> \d\d:\d\d:\d\d,\d{3}\n.+\n\n", str(answer))


def test_vtt_begins_with_its_name_and_has_a_point_in_its_times(client: openai.OpenAI) -> None:
    answer = client.audio.transcriptions.create(file=CLIP, model="turbo", response_format="vtt")
    assert re.match(r"WEBVTT\n\n\d\d:\d\d\.\d{3} --> \d\d:\d\d\.\d{3}\n.+\n\n", str(answer))


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # its author would have us use another model
def test_a_translation_is_answered_like_a_transcription(client: openai.OpenAI) -> None:
    answer = client.audio.translations.create(
        file=CLIP, model="whisper-1", response_format="verbose_json", prompt="Names: Nakamura", temperature=0
    )
    assert answer.to_dict()["task"] == "translate"
    assert answer.text


def test_every_field_that_means_nothing_new_is_taken(client: openai.OpenAI, text: str) -> None:
    answer = client.audio.transcriptions.create(file=CLIP, model="whisper-1", temperature=0, prompt="", stream=False)
    assert answer.text == text


def test_the_loaded_model_is_listed_and_found_by_any_of_its_names(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["turbo"]
    for name in ("turbo", "large-v3-turbo", "openai/whisper-large-v3-turbo", "whisper-1"):
        assert client.models.retrieve(name).id == "turbo"


def test_another_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="no model named 'large-v9'") as caught:
        client.audio.transcriptions.create(file=CLIP, model="large-v9")
    assert (caught.value.param, caught.value.code) == ("model", "model_not_found")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("large-v9")


@pytest.mark.parametrize(
    ("field", "asked"),
    [
        ("stream", {"stream": True}),
        ("include", {"include": ["logprobs"]}),
        ("languages", {"languages": ["en", "de"]}),
        ("keywords", {"keywords": ["Nakamura"]}),
        ("chunking_strategy", {"chunking_strategy": "auto"}),
        ("chunking_strategy", {"chunking_strategy": {"type": "server_vad", "threshold": 0.4}}),
        ("known_speaker_names", {"known_speaker_names": ["agent"]}),
        ("known_speaker_references", {"known_speaker_references": ["data:audio/wav;base64,AAA="]}),
        ("timestamp_granularities", {"timestamp_granularities": ["segment"]}),
        ("response_format", {"response_format": "diarized_json"}),
        ("temperature", {"temperature": 1.7}),
        ("language", {"language": "klingon"}),
    ],
)
def test_what_is_not_supported_is_refused_by_name(client: openai.OpenAI, field: str, asked: dict[str, object]) -> None:
    with pytest.raises(openai.BadRequestError, match=f"{field}: ") as caught:
        client.audio.transcriptions.create(file=CLIP, model="whisper-1", **asked)  # type: ignore[call-overload]
    assert (caught.value.param, caught.value.type) == (field, "invalid_request_error")
    assert caught.value.request_id


def test_what_is_not_audio_is_the_callers_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=r"notes\.txt: ") as caught:
        client.audio.transcriptions.create(file=("notes.txt", b"not a sound " * 100), model="whisper-1")
    assert (caught.value.param, caught.value.code) == ("file", "audio_unreadable")
