"""Texts and names in other encodings than UTF-8."""

from __future__ import annotations

import encodings

import pytest

from neuron_whisper.errors import InvalidOption
from neuron_whisper.server.http.charsets import decode_header, decode_text, find_text_charset


@pytest.mark.parametrize(
    ("value", "charset", "text"),
    [
        ("Grüße".encode(), None, "Grüße"),
        ("\ufeffGrüße".encode(), "utf-8", "Grüße"),
        ("Grüße".encode("latin-1"), "ISO-8859-1", "Grüße"),
        ("“Grüße”".encode("cp1252"), "windows-1252", "“Grüße”"),
        ("録音".encode("shift_jis"), "Shift_JIS", "録音"),
        ("录音".encode("gb18030"), "GB18030", "录音"),
        ("Grüße".encode("utf-16"), "utf-16", "Grüße"),
    ],
)
def test_a_text_is_decoded_in_its_charset(value: bytes, charset: str | None, text: str) -> None:
    assert decode_text("prompt", value, charset) == text


@pytest.mark.parametrize(
    ("value", "charset"),
    [
        (b"\xff\xfe", None),
        (b"\xff", "utf-8"),
        (b"a", "klingon"),
        (b"a", "base64"),
        (b"a", "punycode"),
        (b"a", "unicode_escape"),
        (b"a", "utf\x00-8"),
    ],
)
def test_another_text_is_refused(value: bytes, charset: str | None) -> None:
    with pytest.raises(InvalidOption) as caught:
        decode_text("prompt", value, charset)
    assert caught.value.field == "prompt"


def test_a_header_is_utf_8_or_what_its_bytes_say() -> None:
    assert decode_header("录音.wav".encode().decode("latin-1")) == "录音.wav"
    assert decode_header("Grüße.wav") == "Grüße.wav"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("UTF8", "utf-8"),
        ("latin1", "iso8859-1"),
        ("KOI8-U", "koi8-u"),
        ("x-mac-roman", None),
        ("", None),
        ("rot13", None),
    ],
)
def test_a_charset_has_one_name(name: str, found: str | None) -> None:
    assert find_text_charset(name) == found


def test_names_that_a_client_makes_up_are_not_kept() -> None:
    kept: dict[str, object] = vars(encodings)["_cache"]
    find_text_charset("utf-8")
    before = len(kept)
    for i in range(100):
        assert find_text_charset(f"made-up-{i}") is None
        assert find_text_charset("utf" + "-" * (i % 30 + 1) + "8") == "utf-8"
        assert find_text_charset(f"utf-8.{'x' * 1000}{i}") is None
    assert len(kept) <= before + 1
