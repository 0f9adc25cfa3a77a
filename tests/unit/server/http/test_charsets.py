"""Texts and names in other encodings than UTF-8."""

from __future__ import annotations

import pytest

from neuron_whisper.errors import InvalidOption
from neuron_whisper.server.http.charsets import decode_header, decode_text, is_text_charset


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
    assert not is_text_charset("")
