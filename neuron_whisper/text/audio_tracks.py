"""parse_audio_track: how a user names one of a file's audio tracks."""

from __future__ import annotations

from neuron_whisper.errors import InvalidOption
from neuron_whisper.text.languages import to_language_code

ALLOWED_TRACK = "a number from 0, or a language's code or English name"
FIELD = "audio_track"


def parse_audio_track(choice: int | str | None, field: str = FIELD) -> int | str | None:
    """ "1" -> 1, "ger" and "German" -> "de"; a number and None are as they are. Raises InvalidOption about `field`."""
    if not isinstance(choice, str):
        return choice
    name = choice.strip()
    if name.isascii() and name.isdecimal() and len(name) <= 4:
        return int(name)
    try:
        return to_language_code(name)
    except InvalidOption:
        raise InvalidOption(field, choice, ALLOWED_TRACK) from None
