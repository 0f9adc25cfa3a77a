"""The fields of the audio API's forms: what each sets and what it rejects."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.server.audio.fields import TRANSCRIPTIONS, TRANSLATIONS, UNSUPPORTED_FIELDS
from tests.support.form_values import OPTIONS
from tests.support.servers import TRANSCRIPTIONS as PATH
from tests.support.servers import RunningServer, read_error, tone

# --- what a field sets ------------------------------------------------------------------------------


def test_every_option_has_a_field_or_a_reason() -> None:
    set_by_a_field = {option for _, option, _ in OPTIONS.values()} | {"patience", "word_timestamps", "vad"}
    fixed = {
        "task",  # the route
        "prompt_reset_on_temperature",
        "prepend_punctuations",
        "append_punctuations",
    }
    assert set_by_a_field | fixed == {field.name for field in fields(TranscribeOptions)}
    for form in (TRANSCRIPTIONS, TRANSLATIONS):
        assert {field.option for field in form.fields if field.option} <= set_by_a_field


# --- chunking_strategy ------------------------------------------------------------------------------


# --- what is refused, over the wire -------------------------------------------------------------------

VERBOSE = {"response_format": "verbose_json"}


@pytest.mark.parametrize(
    ("param", "form", "says"),
    [
        ("include", {"include[]": "tokens"}, "one of logprobs, peaks"),
        ("include", {"include[]": "peaks"}, "it needs stream=true"),
        ("include", {"include[]": "peaks", "stream": "false", **VERBOSE}, "it needs stream=true"),
        ("include", {"include[]": ["peaks", "logprobs"], "stream": "true", **VERBOSE}, "response_format=json"),
        ("include", {"include[]": "logprobs", **VERBOSE}, "it needs response_format=json"),
        ("timestamp_granularities", {"timestamp_granularities[]": "syllable", **VERBOSE}, "one of word, segment"),
        ("stream", {"stream": "true", "response_format": "srt"}, "json or response_format=verbose_json"),
        ("stream", {"stream": "2"}, "true or false"),
        ("max_line_width", {"max_line_width": "40"}, "response_format=srt or response_format=vtt"),
        ("max_line_count", {"max_line_count": "2", "response_format": "srt"}, "it needs max_line_width"),
        ("max_words_per_line", {"max_words_per_line": "3", "max_line_width": "9", "response_format": "vtt"}, "line"),
        ("highlight_words", {"highlight_words": "true"}, "response_format=srt or response_format=vtt"),
        ("patience", {"patience": "2"}, "it needs beam_size"),
        ("beam_size", {"beam_size": "5"}, "at most 1 with this artifact"),
        ("beam_size", {"beam_size": "17"}, "a whole number from 1 to 16"),
        ("beam_size", {"beam_size": "2.5"}, "a whole number from 1 to 16"),
        ("best_of", {"best_of": "none"}, "a whole number from 1 to 32"),
        ("seed", {"seed": "-1"}, "a whole number from 0 to 9223372036854775807"),
        ("length_penalty", {"length_penalty": "2"}, "a number from 0 to 1"),
        ("compression_ratio_threshold", {"compression_ratio_threshold": "off"}, "a number from 0, or none"),
        ("logprob_threshold", {"logprob_threshold": "inf"}, "a number of at most 0, or none"),
        ("no_speech_threshold", {"no_speech_threshold": "1_0"}, "a number from 0 to 1, or none"),
        ("max_initial_timestamp", {"max_initial_timestamp": "31"}, "a number from 0 to 30"),
        ("max_new_tokens", {"max_new_tokens": "0"}, "a whole number from 1 to 448"),
        ("vad_filter", {"vad_filter": "yes"}, "true or false"),
        ("long_form", {"long_form": "parallel"}, "one of auto, sequential, batched"),
        ("suppress_tokens", {"suppress_tokens": "a,b"}, "comma-separated token ids"),
        ("suppress_tokens", {"suppress_tokens": "999999"}, "it lists tokens from 0"),
        ("clip_timestamps", {"clip_timestamps": "5,2"}, "ascending seconds"),
        ("clip_timestamps", {"clip_timestamps": "-5"}, "ascending seconds"),
        ("languages", {"languages[]": "klingon"}, "code"),
        ("language", {"language": "de", "languages[]": "en"}, "one of languages: en"),
        ("language", {"language": "klingon"}, "code"),
        ("keywords", {"keywords[]": ["a"] * 101}, "at most 100"),
        ("temperature", {"temperature[]": "0.2"}, "it is no list"),
        ("response_format", {"response_format": "diarized_json"}, "speakers are not distinguished"),
        ("known_speaker_names", {"known_speaker_names[]": "agent"}, "speakers are not distinguished"),
        ("known_speaker_references", {"known_speaker_references[]": "data:audio/wav;base64,"}, "speaker labels"),
        ("chunking_strategy", {"chunking_strategy": "none"}, "server_vad"),
    ],
)
def test_an_invalid_value_is_rejected_by_field_with_what_is_allowed(
    server: RunningServer, param: str, form: dict[str, Any], says: str
) -> None:
    with server.client() as client:
        error = read_error(client.post(PATH, files={"file": tone(seconds=0.1)}, data=form), 400)
    assert (error["param"], error["code"]) == (param, "invalid_value")
    assert says in error["message"]


@pytest.mark.parametrize("name", UNSUPPORTED_FIELDS)
def test_a_field_of_another_api_is_rejected_with_the_alternative(server: RunningServer, name: str) -> None:
    error = read_error(server.post(None, **{name: "2"}), 400)
    assert error["param"] == name
    assert error["message"].endswith(UNSUPPORTED_FIELDS[name])


def test_an_upload_in_the_wrong_field_is_rejected(server: RunningServer) -> None:
    with server.client() as client:
        error = read_error(client.post(PATH, files={"audio": tone()}), 400)
    assert error["param"] == "audio"
