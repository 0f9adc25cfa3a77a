"""How long a text may take to speak: the most seconds of speech that it can be the text of."""

from __future__ import annotations

import unicodedata

SLOWEST_LETTERS_PER_S = 4.0  # without pauses: dictation at 60 words a minute has 5, ordinary speech 10 to 20
# in Latin letters, by the time that they take to speak
CHARACTER_LENGTH, KANA_LENGTH, DIGIT_LENGTH, SYMBOL_LENGTH = 3.0, 2.0, 4.0, 4.0
ABJAD_LENGTH = 1.5  # short vowels are not written

_KANA = ((0x3041, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9D))
# ideographs and syllables: Bopomofo to Yi, Hangul, compatibility ideographs, supplementary planes; Ethiopic
_CHARACTERS = ((0x3005, 0x3007), (0x3105, 0x31BF), (0x3400, 0xA4CF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF))
_MORE_CHARACTERS = ((0x1200, 0x139F), (0x20000, 0x3FFFF))
_ABJADS = ((0x0590, 0x08FF), (0xFB1D, 0xFDFF), (0xFE70, 0xFEFC))


def measure_letters(text: str) -> float:
    """Measures a text in Latin letters: "Ask not." -> 6, "42 %" -> 12, "東京" -> 6. Punctuation does not count."""
    return sum(_measure_character(character) for character in text)


def estimate_longest_s(text: str) -> float:
    """Estimates the most seconds of speech, without its pauses, that the text is spoken in."""
    return measure_letters(text) / SLOWEST_LETTERS_PER_S


def _measure_character(character: str) -> float:
    if character.isascii() and character.isalpha():
        return 1.0
    kind, at = unicodedata.category(character), ord(character)
    if kind[0] == "N":
        return DIGIT_LENGTH
    if kind in ("Sc", "Sm", "So") or character in "%‰&@#":
        return SYMBOL_LENGTH
    if kind[0] not in "LM":
        return 0.0
    for ranges, length in ((_KANA, KANA_LENGTH), (_CHARACTERS, CHARACTER_LENGTH), (_ABJADS, ABJAD_LENGTH)):
        if any(first <= at <= last for first, last in ranges):
            return length
    return CHARACTER_LENGTH if any(first <= at <= last for first, last in _MORE_CHARACTERS) else 1.0
