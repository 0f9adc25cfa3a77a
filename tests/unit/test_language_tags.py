"""Language tags: every way to write a language gives Whisper's code."""

from __future__ import annotations

import pytest

from neuron_whisper.language_tags import WHISPER_CODES, find_whisper_code
from neuron_whisper.text.languages import LANGUAGES


def test_every_language_of_whisper_has_its_code_and_no_other_is_named() -> None:
    assert set(WHISPER_CODES.values()) == set(LANGUAGES)
    assert all(WHISPER_CODES[code] == code for code in LANGUAGES)


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("ger", "de"),
        ("deu", "de"),
        ("DE", "de"),
        ("de-AT", "de"),
        ("pt_BR", "pt"),
        ("chi", "zh"),
        ("zh-Hans-CN", "zh"),
        ("zh-yue", "yue"),
        ("nb", "no"),
        ("jav", "jw"),
        ("fil", "tl"),
        (" fre ", "fr"),
        ("und", None),
        ("mul", None),
        ("", None),
        ("tlh", None),
    ],
)
def test_a_tag_is_the_code_of_its_language(tag: str, code: str | None) -> None:
    assert find_whisper_code(tag) == code
