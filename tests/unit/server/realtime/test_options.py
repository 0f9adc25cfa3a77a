"""Realtime fields of the options: which exist, how they are read, and how errors name them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET

from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.errors import InvalidOption
from neuron_whisper.live.options import LiveOptions, TurnDetection
from neuron_whisper.server.realtime.conversion import JsonObject, convert
from neuron_whisper.server.realtime.options import create_options, list_realtime_specs, read_fields, with_options


@with_options(TranscribeOptions, TurnDetection, exclude=("words",), types={"keywords": list[str]})
class Fields(JsonObject, frozen=True, kw_only=True):
    """Fields of a test."""

    model: str = "base"


def test_the_fields_have_openais_names() -> None:
    assert set(list_realtime_specs(TranscribeOptions)) == {"language", "languages", "prompt", "keywords", "words"}
    assert set(list_realtime_specs(TurnDetection)) == {"threshold", "prefix_padding_ms", "silence_duration_ms"}
    assert set(list_realtime_specs(LiveOptions)) == {"partials"}


def test_the_decorator_adds_fields_that_are_unset() -> None:
    fields: Any = Fields()
    assert (fields.model, fields.language, fields.threshold) == ("base", UNSET, UNSET)
    assert not hasattr(fields, "words")
    assert (Fields.__name__, Fields.__doc__) == ("Fields", "Fields of a test.")


def test_only_fields_that_are_set_are_read() -> None:
    fields = convert({"language": "de", "prompt": None, "threshold": 0.25}, Fields)
    assert read_fields(fields, TranscribeOptions) == {"language": "de", "prompt": None}
    assert read_fields(fields, TurnDetection) == {"threshold": 0.25}


def test_options_are_created_from_fields() -> None:
    values = {"language": "de", "prompt": "Names.", "keywords": ["Nakamura", "O'Brien"], "words": True}
    options = create_options(TranscribeOptions, values, vad_filter=False)
    assert (options.language, options.initial_prompt, options.hotwords) == ("de", "Names.", "Nakamura, O'Brien")
    assert (options.word_timestamps, options.vad_filter) == (True, False)


@pytest.mark.parametrize("languages", [["de", "en"], "de,en", "de, en"])
def test_languages_are_a_list_or_separated_by_commas(languages: object) -> None:
    assert create_options(TranscribeOptions, {"languages": languages}).languages == ("de", "en")


@pytest.mark.parametrize("empty", [None, "", []])
def test_an_empty_field_is_the_default(empty: object) -> None:
    assert create_options(TranscribeOptions, {"prompt": empty}) == TranscribeOptions()


def test_a_zero_is_not_empty() -> None:
    assert create_options(TurnDetection, {"threshold": 0, "prefix_padding_ms": 0}).prefix_padding_ms == 0


@pytest.mark.parametrize(
    ("options_class", "values", "field"),
    [
        (TranscribeOptions, {"language": "tlh"}, "session.language"),
        (TurnDetection, {"silence_duration_ms": -1}, "session.silence_duration_ms"),
    ],
)
def test_an_error_names_the_realtime_field(options_class: type, values: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidOption) as error:
        create_options(options_class, values, "session")
    assert error.value.field == field
