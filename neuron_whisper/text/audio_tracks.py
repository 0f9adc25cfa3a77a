"""parse_audio_track: how a user names one of a file's audio tracks."""

from __future__ import annotations

from neuron_whisper.errors import InvalidOption
from neuron_whisper.language_tags import find_whisper_code
from neuron_whisper.text.languages import to_language_code

ALLOWED_TRACK = "a number from 0, or a language's code or English name"
FIELD = "audio_track"


def parse_audio_track(text: str) -> int | str:
    """ "1" -> 1, "ger" and "German" -> "de". Raises InvalidOption."""
    name = text.strip()
    if name.isascii() and name.isdecimal() and len(name) <= 4:
        return int(name)
    try:
        return find_whisper_code(name) or to_language_code(name)
    except InvalidOption:
        raise InvalidOption(FIELD, text, ALLOWED_TRACK) from None
