"""parse_audio_track: a number, or a language in any spelling."""

from __future__ import annotations

import pytest

from neuron_whisper.errors import InvalidOption
from neuron_whisper.text.audio_tracks import parse_audio_track


@pytest.mark.parametrize(
    ("choice", "track"),
    [("0", 0), (" 12 ", 12), ("de", "de"), ("ger", "de"), ("German", "de"), ("pt-BR", "pt"), ("prs", "fa")],
)
def test_a_track_is_a_number_or_a_language(choice: str, track: int | str) -> None:
    assert parse_audio_track(choice) == track


@pytest.mark.parametrize("choice", [None, 0, 7])
def test_what_is_no_text_is_left_as_it_is(choice: int | None) -> None:
    assert parse_audio_track(choice) == choice


@pytest.mark.parametrize("text", ["", "-1", "1.5", "klingon", "99999", "٣"])
@pytest.mark.parametrize("field", ["audio_track", "--audio-track"])
def test_anything_else_is_refused_by_the_name_that_the_user_knows(text: str, field: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        parse_audio_track(text, field)
    assert (refused.value.field, refused.value.value) == (field, text)
