"""Where a word may end: not inside aujourd'hui, $1,250.75 or 10:30, nor inside a character of any script.

openai/whisper ends a word at every space and every punctuation mark that is a token, and in scripts without spaces
at every character. Here such words are joined where nobody reads an end, by rules that follow UAX #29 (word boundaries)
and UAX #14 (line breaks).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from neuron_whisper.text.languages import NO_SPACE_LANGUAGES

WHOLE, OPENAI = "whole", "openai"
WORD_SPLITTINGS = (WHOLE, OPENAI)
# Khmer and Tibetan too: openai/whisper splits them at spaces, which they have between sentences alone
CHARACTER_LANGUAGES = NO_SPACE_LANGUAGES | {"km", "bo"}

_JOINERS = frozenset("'’ʼ-‐‑./@&_+")  # between letters or digits: o'clock, e-mail, example.com, km/h, AT&T
_DIGIT_JOINERS = frozenset(",:٫٬，：–−")  # between digits only: 1,250, 10:30, 3–2
_UNITS = frozenset("%‰°℃℉€£$¥₽₩₹¢")  # behind a number: 50%
_LEADING_VOWELS = frozenset("เแโใไເແໂໃໄ")  # Thai, Lao: written before the consonant they follow
_TRAILING_VOWELS = frozenset("ะาำๅๆະາຳໆ")  # behind it, and not marks
_STACKERS = frozenset("\u17d2\u1039")  # Khmer, Myanmar: the next consonant stands below
_GLUE = frozenset("\u200c\u200d\u2060\ufeff\u00a0")  # joiners of zero width, and spaces that do not break
_CLOSERS = frozenset("、。，．！？：；…・ー々ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮ!?.,:;%")  # never begin a line
_TSHEG = frozenset("\u0f0b\u0f0d\u0f0e\u0f14")  # Tibetan: ends a syllable

_SCRIPTS_WITHOUT_SPACES = (
    (0x0E00, 0x0FFF),  # Thai, Lao, Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x19E0, 0x19FF),
    (0x2E80, 0xA4CF),  # Han, kana, bopomofo, Yi
    (0xA9E0, 0xA9FF),
    (0xAA60, 0xAA7F),
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),
    (0x1B000, 0x1B16F),
    (0x20000, 0x3FFFF),
)

Piece = tuple[str, list[int]]


def join_whole_words(pieces: Sequence[Piece], language: str | None) -> list[Piece]:
    """Joins pieces of a text (text, tokens) whose boundary is inside a word: " e", "-mail" -> " e-mail".

    The pieces are words as openai/whisper splits them, or characters, in order; joined they are the same text.
    """
    text = "".join(piece for piece, _ in pieces)
    is_by_character = language in CHARACTER_LANGUAGES
    joined: list[Piece] = []
    offset = 0
    for piece, tokens in pieces:
        if joined and not is_word_boundary(text, offset, is_by_character=is_by_character):
            before, earlier = joined[-1]
            joined[-1] = (before + piece, earlier + tokens)
        else:
            joined.append((piece, list(tokens)))
        offset += len(piece)
    return joined


def is_word_boundary(text: str, offset: int, *, is_by_character: bool) -> bool:
    """Whether a word may end before text[offset]. `is_by_character`: the script has no spaces between words."""
    if not 0 < offset < len(text):
        return True
    before, after = text[offset - 1], text[offset]
    if before.isspace() or after.isspace():
        return after not in _GLUE and before not in _GLUE
    if _is_mark(after) or after in _GLUE or before in _GLUE:
        return False
    if _is_joined(text, offset - 1) or _is_joined(text, offset):
        return False
    if after in _UNITS and before.isdecimal():
        return False
    return not is_by_character or not _is_one_character(before, after)


def _is_one_character(before: str, after: str) -> bool:
    """Whether two characters of a script without spaces belong together: runs of Latin, stacks, brackets."""
    if _is_run(before) and _is_run(after):
        return True
    if before in _LEADING_VOWELS or after in _TRAILING_VOWELS or before in _STACKERS:
        return True
    if unicodedata.category(before) == "Sc" and after.isdecimal():
        return True
    if unicodedata.category(before) in ("Ps", "Pi") or unicodedata.category(after) in ("Pe", "Pf"):
        return True
    if "\u0f00" <= before <= "\u0fff" and "\u0f00" <= after <= "\u0fff":
        return before not in _TSHEG or after in _TSHEG
    return after in _CLOSERS


def _is_joined(text: str, at: int) -> bool:
    """Whether text[at] is a mark inside a word: between letters or digits, without a space."""
    mark = text[at]
    if mark not in _JOINERS and mark not in _DIGIT_JOINERS:
        return False
    if not 0 < at < len(text) - 1:
        return False
    before, after = text[at - 1], text[at + 1]
    if before.isdecimal() and after.isdecimal():
        return True
    return mark in _JOINERS and _is_run(before) and _is_run(after)


def _is_mark(character: str) -> bool:
    """A combining mark, or a selector of a variant."""
    return unicodedata.category(character)[0] == "M"


def _is_run(character: str) -> bool:
    """A letter, digit or mark of a script in which a word is a run of them."""
    kind = unicodedata.category(character)[0]
    if kind == "N":
        return True
    return kind in "LM" and not any(first <= ord(character) <= last for first, last in _SCRIPTS_WITHOUT_SPACES)
