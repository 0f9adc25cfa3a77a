"""Text with and without a byte order mark."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.host.text_files import decode_text


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_the_text_is_the_same_whatever_mark_an_editor_put_before_it(mark: bytes, encoding: str) -> None:
    assert decode_text(mark + 'name = "Zoë 日本"\n'.encode(encoding)) == 'name = "Zoë 日本"\n'


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff\ufffe\x00")))
def test_utf_8_without_a_mark_is_itself(text: str) -> None:
    assert decode_text(text.encode()) == text


def test_other_bytes_are_refused() -> None:
    with pytest.raises(UnicodeDecodeError):
        decode_text(b"caf\xe9")
