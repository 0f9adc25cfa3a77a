"""The language and task of a transcription against the model."""

from __future__ import annotations

from typing import Any

import pytest

from neuron_whisper.decode.language import find_spoken_language, resolve_language, warn_of_detection
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.errors import InvalidOption
from neuron_whisper.text.special_tokens import SpecialTokens
from neuron_whisper.text.tokenizer import BYTE_TO_UNICODE, Tokenizer


def make_tokenizer(*, is_multilingual: bool) -> Tokenizer:
    special = SpecialTokens.from_layout(eot=256, n_languages=5, blank=ord(" "), is_multilingual=is_multilingual)
    return Tokenizer({BYTE_TO_UNICODE[byte]: byte for byte in range(256)}, [], special)


def test_a_multilingual_model_detects_the_language_unless_it_is_given() -> None:
    multilingual = make_tokenizer(is_multilingual=True)
    assert resolve_language(TranscribeOptions(), multilingual) is None
    assert resolve_language(TranscribeOptions(language="German", task="translate"), multilingual) == "de"


def test_a_language_that_the_model_does_not_know_is_refused() -> None:
    with pytest.raises(InvalidOption) as refused:
        resolve_language(TranscribeOptions(language="ja"), make_tokenizer(is_multilingual=True))
    assert refused.value.field == "language"


def test_an_english_only_model_transcribes_english() -> None:
    english = make_tokenizer(is_multilingual=False)
    assert resolve_language(TranscribeOptions(), english) == "en"
    assert resolve_language(TranscribeOptions(language="en"), english) == "en"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"task": "translate"}, "task"),
        ({"language": "de"}, "language"),
        ({"languages": ("de", "fr")}, "languages"),
        ({"languages": ("de",)}, "languages"),
    ],
)
def test_an_english_only_model_refuses_translation_and_other_languages(options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        resolve_language(TranscribeOptions(**options), make_tokenizer(is_multilingual=False))
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("options", "ignored"),
    [
        ({"multilingual": True}, ["multilingual"]),
        ({"languages": ("en", "de")}, ["languages"]),
        ({"languages": ("de", "en"), "multilingual": True}, ["multilingual", "languages"]),
        ({"languages": ("en",)}, []),
        ({"language": "en", "multilingual": True}, []),
        ({}, []),
    ],
)
def test_an_english_only_model_warns_of_a_detection_that_it_does_not_do(
    options: dict[str, Any], ignored: list[str]
) -> None:
    chosen = TranscribeOptions(**options)
    warnings = warn_of_detection(chosen, make_tokenizer(is_multilingual=False))
    assert [warning.split()[0] for warning in warnings] == ignored
    assert warn_of_detection(chosen, make_tokenizer(is_multilingual=True)) == []


@pytest.mark.parametrize(
    ("options", "only_language", "spoken"),
    [
        ({"language": "German"}, "en", "de"),
        ({"language": "de", "languages": ("de", "fr")}, None, "de"),
        ({"languages": ("fr",)}, None, "fr"),
        ({"languages": ("fr", "de")}, None, None),
        ({}, "en", "en"),
        ({}, None, None),
    ],
)
def test_the_language_that_speech_is_in_is_the_one_given_then_the_only_one(
    options: dict[str, Any], only_language: str | None, spoken: str | None
) -> None:
    assert find_spoken_language(TranscribeOptions(**options), only_language) == spoken
