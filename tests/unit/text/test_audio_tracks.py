"""parse_audio_track: a number, or a language in any spelling."""

from __future__ import annotations

import pytest

from neuron_whisper.errors import InvalidOption
from neuron_whisper.text.audio_tracks import parse_audio_track


@pytest.mark.parametrize(
    ("text", "track"), [("0", 0), (" 12 ", 12), ("de", "de"), ("ger", "de"), ("German", "de"), ("pt-BR", "pt")]
)
def test_a_track_is_a_number_or_a_language(text: str, track: int | str) -> None:
    assert parse_audio_track(text) == track


@pytest.mark.parametrize("text", ["", "-1", "1.5", "klingon", "99999", "٣"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        parse_audio_track(text)
    assert (refused.value.field, refused.value.value) == ("audio_track", text)
