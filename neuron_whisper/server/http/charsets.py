"""Decodes texts and names that clients send in other encodings than UTF-8."""

from __future__ import annotations

import codecs
import encodings
import pkgutil
import re
from encodings.aliases import aliases

from neuron_whisper.errors import InvalidOption

# encodings of text, by the beginning of Python's names; not those that run an algorithm, such as punycode
_TEXT_CHARSETS = re.compile(
    "(utf-(8|16|32)|ascii|iso(8859|2022)|cp[0-9]|koi8|mac|shift_jis|euc_|gb|big5|johab|tis-620|hz$|ptcp|kz)"
)


# Python keeps every name that it looks up, known or not: a client's own names would fill the memory
_KNOWN_NAMES = frozenset((*aliases, *aliases.values(), *(it.name for it in pkgutil.iter_modules(encodings.__path__))))
MAX_NAME_CHARS = 40
_NAME = re.compile(f"[a-z0-9_.: -]{{1,{MAX_NAME_CHARS}}}", re.IGNORECASE | re.ASCII)


def find_text_charset(name: str) -> str | None:
    """Python's name of an encoding of text; None for any other name."""
    if not _NAME.fullmatch(name):
        return None
    known = encodings.normalize_encoding(name).lower()
    if known not in _KNOWN_NAMES:
        return None
    try:
        found = codecs.lookup(known).name
    except (LookupError, ValueError):  # a module that is no encoding
        return None
    return found if _TEXT_CHARSETS.match(found) else None


def decode_text(field: str, value: bytes, charset: str | None) -> str:
    """The text of a field in its declared charset, by default UTF-8. Raises InvalidOption for `field`."""
    found = find_text_charset(charset) if charset else "utf-8"
    if found is None:
        raise InvalidOption(field, (charset or "")[:MAX_NAME_CHARS], "UTF-8, or another charset of text")
    try:
        return value.decode(found).removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise InvalidOption(field, value[:32], f"text in {found.upper()}") from None


def decode_header(text: str) -> str:
    """A header that was decoded as latin-1, as the UTF-8 that it usually is."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text
