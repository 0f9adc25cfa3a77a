"""The official openai client against the running server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import openai
import pytest
from openai.types.audio import (
    Transcription,
    TranscriptionStreamEvent,
    TranscriptionTextDeltaEvent,
    TranscriptionTextDoneEvent,
    TranscriptionVerbose,
    Translation,
    TranslationVerbose,
)
from pydantic import BaseModel, TypeAdapter

from tests.support.servers import TIMEOUT_S, RunningServer, run_server, tone

CLIP = ("tone.wav", tone(500, 0.4))
TWO_WINDOWS = ("tone.wav", tone(500, 45.0))
HALVES = ",".join(map(str, range(128, 256)))  # tokens are bytes: two segments must not share a character
SEQUENTIAL = {"long_form": "sequential", "condition_on_previous_text": False}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with run_server() as made:
        yield made


@pytest.fixture
def client(server: RunningServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=TIMEOUT_S) as made:
        yield made


@pytest.fixture(scope="module")
def text(server: RunningServer) -> str:
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
        file=CLIP,
        model="turbo",
        response_format="verbose_json",
        timestamp_granularities=["segment"],
        language="de",
        extra_body={"suppress_tokens": HALVES},
    )
    assert (answer.language, answer.duration) == ("german", 0.4)
    assert answer.segments
    assert "".join(segment.text for segment in answer.segments).strip() == answer.text
    # text that a model made up for the silence behind the audio has no length there
    assert all(0 <= segment.start <= segment.end <= answer.duration for segment in answer.segments)
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


def test_words_alone_leave_the_segments_out(client: openai.OpenAI) -> None:
    answer = client.audio.transcriptions.create(
        file=CLIP, model="turbo", response_format="verbose_json", timestamp_granularities=["word"]
    )
    assert answer.words
    assert answer.segments is None
    assert client.audio.transcriptions.create(file=CLIP, model="turbo", response_format="verbose_json").words is None


def test_log_probabilities_are_those_of_the_texts_tokens(client: openai.OpenAI, text: str) -> None:
    answer = client.audio.transcriptions.create(file=CLIP, model="turbo", include=["logprobs"])
    assert answer.logprobs
    spelled = b"".join(bytes(map(int, it.bytes or ())) for it in answer.logprobs)
    assert spelled.decode("utf-8", "replace").strip() == text
    assert all(it.logprob is not None and it.logprob <= 0 for it in answer.logprobs)
    verbose = client.audio.transcriptions.create(file=CLIP, model="turbo", response_format="verbose_json")
    assert verbose.segments
    n_text = sum(token < 256 for segment in verbose.segments for token in segment.tokens)
    assert len(answer.logprobs) == n_text


def test_the_language_that_was_heard_is_told_and_may_be_one_of_some(client: openai.OpenAI) -> None:
    answer = client.audio.transcriptions.create(file=CLIP, model="turbo", languages=["de", "es"])
    assert answer.languages
    assert answer.languages[0].code in ("de", "es")


@pytest.mark.parametrize(
    "asked",
    [
        {"chunking_strategy": "auto", "extra_body": {"vad_filter": True}},
        {"chunking_strategy": {"type": "server_vad", "threshold": 0.4, "prefix_padding_ms": 200}},
        {"keywords": ["Nakamura", "O'Brien"]},
        {"extra_body": {"beam_size": 1, "best_of": 2, "seed": 3, "suppress_tokens": "-1"}},
        {"extra_body": {"no_speech_threshold": "none", "logprob_threshold": -0.5}},
        {"response_format": "srt", "extra_body": {"max_line_width": 20, "max_line_count": 2}},
        {"response_format": "vtt", "extra_body": {"highlight_words": True}},
    ],
)
def test_fields_beyond_whisper_1_are_taken_as_the_client_sends_them(
    client: openai.OpenAI, asked: dict[str, object]
) -> None:
    client.audio.transcriptions.create(file=CLIP, model="whisper-1", **asked)  # type: ignore[call-overload]


def test_a_highlighted_subtitle_has_a_cue_for_each_word(client: openai.OpenAI) -> None:
    answer = client.audio.transcriptions.create(
        file=CLIP, model="turbo", response_format="srt", extra_body={"highlight_words": True}
    )
    assert "<u>" in str(answer)


WITH_TIMES = {"response_format": "verbose_json", "timestamp_granularities[]": ["word", "segment"]}


@pytest.mark.parametrize(
    ("path", "form", "shape"),
    [
        ("transcriptions", {}, Transcription),
        ("transcriptions", {"include[]": "logprobs"}, Transcription),
        ("transcriptions", {"response_format": "verbose_json"}, TranscriptionVerbose),
        ("transcriptions", WITH_TIMES, TranscriptionVerbose),
        ("translations", {}, Translation),
        ("translations", {"response_format": "verbose_json"}, TranslationVerbose),
    ],
)
def test_answers_are_valid_by_the_clients_types(
    server: RunningServer, path: str, form: dict[str, object], shape: type[BaseModel]
) -> None:
    # the client itself builds its types from whatever comes
    with server.client() as client:
        answer = client.post(f"/v1/audio/{path}", files={"file": CLIP}, data=form)
    assert answer.status_code == 200
    shape.model_validate_json(answer.text)


@pytest.mark.parametrize("form", [{}, {"include[]": "logprobs"}, WITH_TIMES])
def test_events_are_valid_by_the_clients_types(server: RunningServer, form: dict[str, object]) -> None:
    event = TypeAdapter[object](TranscriptionStreamEvent)
    with server.client() as client:
        answer = client.post("/v1/audio/transcriptions", files={"file": CLIP}, data={"stream": "true", **form})
    lines = [line for line in answer.text.splitlines() if line]
    assert len(lines) >= 2
    for line in lines:
        event.validate_json(line.removeprefix("data: "))


# --- streams ----------------------------------------------------------------------------------------


def test_a_stream_tells_the_text_in_pieces_and_then_the_whole(client: openai.OpenAI) -> None:
    whole = client.audio.transcriptions.create(file=TWO_WINDOWS, model="turbo", extra_body=SEQUENTIAL).text
    stream = client.audio.transcriptions.create(file=TWO_WINDOWS, model="turbo", stream=True, extra_body=SEQUENTIAL)
    *deltas, done = list(stream)
    assert len(deltas) >= 2
    assert all(isinstance(event, TranscriptionTextDeltaEvent) for event in deltas)
    assert isinstance(done, TranscriptionTextDoneEvent)
    assert "".join(event.delta for event in deltas if event.type == "transcript.text.delta") == done.text == whole
    assert done.usage is not None
    assert done.usage.input_token_details is not None
    assert done.usage.input_token_details.audio_tokens == 45 * 50
    assert done.usage.total_tokens == done.usage.input_tokens + done.usage.output_tokens > 45 * 50


def test_a_stream_carries_log_probabilities_of_each_piece_and_of_all(client: openai.OpenAI) -> None:
    stream = client.audio.transcriptions.create(file=CLIP, model="turbo", stream=True, include=["logprobs"])
    *deltas, done = list(stream)
    assert isinstance(done, TranscriptionTextDoneEvent)
    assert done.logprobs
    pieces = [it for event in deltas if event.type == "transcript.text.delta" for it in event.logprobs or ()]
    assert [it.to_dict() for it in pieces] == [it.to_dict() for it in done.logprobs]


def test_a_verbose_stream_has_times_in_its_pieces_and_at_its_end(client: openai.OpenAI) -> None:
    stream = client.audio.transcriptions.create(
        file=CLIP,
        model="turbo",
        stream=True,
        response_format="verbose_json",
        timestamp_granularities=["segment", "word"],
    )
    first, *_, done = (event.to_dict() for event in stream)
    segment = first["segment"]
    assert isinstance(segment, dict)
    assert segment["start"] < segment["end"]
    assert first["words"]
    assert done["duration"] == 0.4
    assert done["segments"]
    assert done["words"]


def test_a_stream_that_cannot_begin_is_refused_with_its_status(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.audio.transcriptions.create(file=("x.txt", b"no sound"), model="turbo", stream=True)
    assert caught.value.code == "audio_unreadable"


def test_the_asynchronous_client_gets_the_same(server: RunningServer, text: str) -> None:
    async def ask() -> tuple[str, str]:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
            answer = await client.audio.transcriptions.create(file=CLIP, model="turbo")
            stream = await client.audio.transcriptions.create(file=CLIP, model="turbo", stream=True)
            deltas = [event.delta async for event in stream if event.type == "transcript.text.delta"]
            return answer.text, "".join(deltas)

    assert asyncio.run(ask()) == (text, text)


# --- other formats ----------------------------------------------------------------------------------


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
        ("stream", {"stream": True, "response_format": "text"}),
        ("include", {"include": ["logprobs"], "response_format": "verbose_json"}),
        ("chunking_strategy", {"chunking_strategy": {"type": "server_vad", "threshold": 4}}),
        ("known_speaker_names", {"known_speaker_names": ["agent"]}),
        ("known_speaker_references", {"known_speaker_references": ["data:audio/wav;base64,AAA="]}),
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
