"""What a form asks for."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from neuron_whisper.decode.options import TEMPERATURES, TranscribeOptions
from neuron_whisper.errors import InvalidOption, TextTooLong
from neuron_whisper.server.audio.fields import TRANSCRIPTIONS, TRANSLATIONS
from neuron_whisper.server.audio.request import AudioRequest
from neuron_whisper.server.http.multipart import Form
from tests.support.form_values import OPTIONS


def parse_request(**texts: str | list[str]) -> AudioRequest:
    given = {name.replace("__", "[]"): [text] if isinstance(text, str) else text for name, text in texts.items()}
    for name, values in given.items():
        TRANSCRIPTIONS.check_field(name, values[0])
    return AudioRequest.from_form(Form(texts=given), TRANSCRIPTIONS)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_field_sets_its_option_and_no_other(name: str) -> None:
    text, option, value = OPTIONS[name]
    plain, found = parse_request().options, parse_request(**{name: text}).options
    assert getattr(found, option) == value != getattr(plain, option)
    needed = {"word_timestamps"} if name == "hallucination_silence_threshold" else set()
    changed = {field.name for field in fields(found) if getattr(found, field.name) != getattr(plain, field.name)}
    assert changed == {option} | needed


def test_keywords_are_added_to_hotwords() -> None:
    both = parse_request(hotwords="ORT", keywords__=["Nakamura", "O'Brien, the younger"])
    assert both.options.hotwords == "ORT, Nakamura, O'Brien, the younger"


@pytest.mark.parametrize(
    ("texts", "field"),
    [
        ({"prompt": "x" * 16_385}, "prompt"),
        ({"prefix": "x" * 16_385}, "prefix"),
        ({"keywords__": ["x" * 16_000] * 100}, "keywords"),
        ({"hotwords": "x" * 16_000, "keywords__": ["x" * 400]}, "keywords"),
    ],
)
def test_long_texts_are_refused_together_and_alone(texts: dict[str, Any], field: str) -> None:
    with pytest.raises(TextTooLong) as caught:
        parse_request(**texts)
    assert caught.value.field == field


def test_patience_is_accepted_with_beams() -> None:
    assert parse_request(beam_size="5", patience="2").options.patience == 2.0


def test_an_empty_form_has_the_default_options() -> None:
    plain = parse_request(prompt="", model=" ", language="", languages__=[""], keywords__=[""])
    assert plain.options == TranscribeOptions(vad_filter=True)
    assert (plain.model, plain.response_format, plain.stream, plain.include_logprobs) == (None, "json", False, False)
    assert AudioRequest.from_form(Form(), TRANSLATIONS, vad_filter=False).options == TranscribeOptions(
        task="translate", vad_filter=False
    )


def test_temperature_zero_means_fallback() -> None:
    assert parse_request(temperature="0").options.temperatures == TEMPERATURES


@pytest.mark.parametrize(
    ("texts", "wants_words"),
    [
        ({"response_format": "verbose_json"}, False),
        ({"response_format": "verbose_json", "timestamp_granularities__": ["segment"]}, False),
        ({"response_format": "verbose_json", "timestamp_granularities__": ["word"]}, True),
        ({"response_format": "verbose_json", "timestamp_granularities": "word"}, True),
        ({"response_format": "srt"}, False),
        ({"response_format": "srt", "timestamp_granularities__": ["segment"]}, False),
        ({"response_format": "srt", "timestamp_granularities__": ["segment", "word"]}, True),
        ({"response_format": "vtt", "timestamp_granularities": "word"}, True),
        ({"response_format": "json", "timestamp_granularities__": ["word"]}, False),
        ({"response_format": "text", "timestamp_granularities__": ["word"]}, False),
        ({"response_format": "srt", "max_line_width": "40"}, True),
        ({"response_format": "vtt", "highlight_words": "true"}, True),
    ],
)
def test_word_timestamps_are_computed_where_needed(texts: dict[str, Any], wants_words: bool) -> None:
    assert parse_request(**texts).options.word_timestamps is wants_words


@pytest.mark.parametrize(("text", "track"), [("1", 1), ("eng", "en"), ("German", "de"), (" ", None)])
def test_an_audio_track_is_a_number_or_a_language(text: str, track: int | str | None) -> None:
    form = Form(texts={"audio_track": [text], "language": ["fr"]})
    request = AudioRequest.from_form(form, TRANSCRIPTIONS)
    assert request.get_load_options("en") == {"audio_track": track, "language": "fr"}


def test_the_language_of_a_track_is_the_models_only_one_where_none_was_asked_for() -> None:
    request = AudioRequest.from_form(Form(texts={}), TRANSCRIPTIONS)
    assert request.get_load_options("en") == {"audio_track": None, "language": "en"}
    assert request.get_load_options(None) == {"audio_track": None, "language": None}


def test_a_track_that_is_neither_is_refused_by_its_field() -> None:
    with pytest.raises(InvalidOption) as refused:
        AudioRequest.from_form(Form(texts={"audio_track": ["klingon"]}), TRANSCRIPTIONS)
    assert refused.value.field == "audio_track"
