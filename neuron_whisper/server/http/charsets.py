"""Decodes texts and names that clients send in other encodings than UTF-8."""

from __future__ import annotations

import codecs
import re

from neuron_whisper.errors import InvalidOption

# encodings of text, by the beginning of Python's names; not those that run an algorithm, such as punycode
_TEXT_CHARSETS = re.compile(
    "(utf-(8|16|32)|ascii|iso(8859|2022)|cp[0-9]|koi8|mac|shift_jis|euc_|gb|big5|johab|tis-620|hz$|ptcp|kz)"
)


def is_text_charset(name: str) -> bool:
    """Whether `name` is an encoding of text."""
    try:
        return _TEXT_CHARSETS.match(codecs.lookup(name).name) is not None
    except (LookupError, ValueError):  # an unknown name; one with a null character
        return False


def decode_text(field: str, value: bytes, charset: str | None) -> str:
    """The text of a field in its declared charset, by default UTF-8. Raises InvalidOption for `field`."""
    charset = charset or "utf-8"
    if not is_text_charset(charset):
        raise InvalidOption(field, charset[:40], "UTF-8, or another charset of text, declared by the part")
    try:
        return value.decode(charset).removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise InvalidOption(field, value[:32], f"text in {codecs.lookup(charset).name.upper()}") from None


def decode_header(text: str) -> str:
    """A header that was decoded as latin-1, as the UTF-8 that it usually is."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text
