"""Responses match the schemas of the OpenAPI document."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest

from neuron_whisper.audio.clip import AudioClip
from neuron_whisper.server.audio.fields import TRANSCRIPTIONS
from neuron_whisper.server.audio.request import AudioRequest
from neuron_whisper.server.audio.response import ResponseFormatter
from neuron_whisper.server.audio.schemas import TranscriptionResponse, VerboseTranscriptionResponse
from neuron_whisper.server.audio.sse import SegmentEventFormatter
from neuron_whisper.server.http.multipart import Form
from neuron_whisper.transcriber import Transcriber
from neuron_whisper.transcript import Segment, SkippedRegion, Transcript, Word

TOKENS = tuple(b" ha\xe8\xaa\x9e")
SEGMENT = Segment(
    id=0,
    seek_s=0.0,
    start_s=0.0,
    end_s=1.5,
    text=" ha語",
    tokens=TOKENS,
    token_logprobs=(-0.5,) * len(TOKENS),
    temperature=0.0,
    avg_logprob=-0.5,
    compression_ratio=1.0,
    no_speech_prob=0.1,
    words=(Word(text=" ha語", start_s=0.25, end_s=1.25, probability=0.5),),
)
TRANSCRIPT = Transcript(
    text=" ha語",
    segments=(SEGMENT,),
    language="en",
    duration_s=2.25,
    task="transcribe",
    skipped=(SkippedRegion(start_s=1.5, end_s=2.25, reason="vad", text=""),),
    warnings=("the file is truncated",),
)


def make_formatter(transcriber: Transcriber, **texts: str) -> ResponseFormatter:
    form = Form(texts={name.replace("__", "[]"): [text] for name, text in texts.items()})
    return ResponseFormatter(request=AudioRequest.from_form(form, TRANSCRIPTIONS), tokenizer=transcriber.tokenizer)


def test_json_matches_its_schema(transcriber: Transcriber) -> None:
    response = make_formatter(transcriber, include__="logprobs").format_response(TRANSCRIPT)
    body = msgspec.json.decode(response.content, type=TranscriptionResponse)
    assert (body.text, [it.code for it in body.languages], body.usage.seconds) == ("ha語", ["en"], 3)
    assert (body.warnings, response.media_type) == (["the file is truncated"], "application/json")


def test_log_probabilities_join_to_the_bytes_of_the_text(transcriber: Transcriber) -> None:
    logprobs = make_formatter(transcriber, include__="logprobs").format_logprobs([SEGMENT])
    assert bytes(byte for it in logprobs for byte in it["bytes"]).decode() == SEGMENT.text
    assert {it["logprob"] for it in logprobs} == {-0.5}


@pytest.mark.parametrize(
    ("granularity", "has_segments", "has_words"), [("segment", True, False), ("word", False, True)]
)
def test_verbose_json_has_what_was_requested(
    transcriber: Transcriber, granularity: str, has_segments: bool, has_words: bool
) -> None:
    formatter = make_formatter(transcriber, response_format="verbose_json", timestamp_granularities__=granularity)
    body = msgspec.json.decode(formatter.format_response(TRANSCRIPT).content, type=VerboseTranscriptionResponse)
    assert (body.segments is not msgspec.UNSET, body.words is not msgspec.UNSET) == (has_segments, has_words)
    assert [it.reason for it in body.skipped or ()] == ["vad"]


def test_each_segment_has_its_language_in_a_response_and_in_a_stream(transcriber: Transcriber) -> None:
    segments = tuple(dataclasses.replace(SEGMENT, id=n, language=code) for n, code in enumerate(("en", "de")))
    formatter = make_formatter(transcriber, response_format="verbose_json")
    response = formatter.format_response(dataclasses.replace(TRANSCRIPT, segments=segments))
    body = msgspec.json.decode(response.content, type=VerboseTranscriptionResponse)
    assert body.segments is not msgspec.UNSET
    assert [segment.language for segment in body.segments] == ["english", "german"]
    deltas = [SegmentEventFormatter(formatter).format_delta(segment) for segment in segments]
    assert [delta["segment"]["language"] for delta in deltas] == ["english", "german"]


@pytest.mark.parametrize(("given", "answer"), [("German", "german"), ("deu", "german"), ("de-AT", "german"), ("", "")])
def test_verbose_json_has_the_english_name_of_a_language_however_it_was_given(
    transcriber: Transcriber, given: str, answer: str
) -> None:
    formatter = make_formatter(transcriber, response_format="verbose_json", language=given)
    transcript = transcriber.transcribe(AudioClip(samples=np.zeros(8000, np.float32)), formatter.request.options)
    assert formatter.format_verbose_json(transcript)["language"] == answer


def test_the_language_of_a_translation_is_english(transcriber: Transcriber) -> None:
    translation = dataclasses.replace(TRANSCRIPT, task="translate", language="de")
    body = make_formatter(transcriber, response_format="verbose_json").format_verbose_json(translation)
    assert (body["language"], body["source_language"]) == ("english", "german")


@pytest.mark.parametrize(
    ("name", "media_type", "start"),
    [("text", "text/plain", "ha語\n"), ("srt", "text/plain", "1\n00:00:00,000 -->"), ("vtt", "text/vtt", "WEBVTT\n")],
)
def test_text_formats_have_their_media_type(transcriber: Transcriber, name: str, media_type: str, start: str) -> None:
    response = make_formatter(transcriber, response_format=name).format_response(TRANSCRIPT)
    assert response.media_type == media_type
    assert response.content.decode().startswith(start)


def test_a_prompt_that_does_not_fit_is_warned_of_and_usage_counts_what_was_used(transcriber: Transcriber) -> None:
    formatter = make_formatter(transcriber, prompt="first " + "x" * 999)
    clip = AudioClip(samples=np.zeros(8000, np.float32))
    transcript = transcriber.transcribe(clip, formatter.request.options)
    warning, no_speech = formatter.format_json(transcript)["warnings"]
    assert "no speech" in no_speech
    assert "'first xxx" in warning
    assert formatter.format_verbose_json(transcript)["warnings"] == [warning, no_speech]
    n_tokens = formatter.format_token_usage(transcript)["input_token_details"]["text_tokens"]
    assert 0 < n_tokens == transcript.prompt_tokens < 300


def test_a_streams_usage_counts_encoder_positions_prompt_and_text(transcriber: Transcriber) -> None:
    usage = make_formatter(transcriber).format_token_usage(dataclasses.replace(TRANSCRIPT, prompt_tokens=3))
    assert usage["input_token_details"] == {"audio_tokens": 113, "text_tokens": 3}
    assert (usage["output_tokens"], usage["total_tokens"]) == (len(TOKENS), 116 + len(TOKENS))


@pytest.mark.parametrize("task", ["transcribe", "translate"])
def test_a_transcript_without_a_language_still_matches_the_schemas(transcriber: Transcriber, task: str) -> None:
    silence = dataclasses.replace(TRANSCRIPT, text="", segments=(), language=None, task=task)
    short = make_formatter(transcriber).format_response(silence)
    assert msgspec.json.decode(short.content, type=TranscriptionResponse).languages == []
    long = make_formatter(transcriber, response_format="verbose_json").format_response(silence)
    body = msgspec.json.decode(long.content, type=VerboseTranscriptionResponse)
    assert (body.language, body.source_language) == (("english", "") if task == "translate" else ("", msgspec.UNSET))
