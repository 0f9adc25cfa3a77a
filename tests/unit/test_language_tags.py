"""Language tags: every way to write a language gives Whisper's code."""

from __future__ import annotations

import pytest

from neuron_whisper.language_tags import WHISPER_CODES, find_whisper_code
from neuron_whisper.text.languages import LANGUAGES, to_language_code


def test_every_language_of_whisper_has_its_code_and_no_other_is_named() -> None:
    assert set(WHISPER_CODES.values()) == set(LANGUAGES)
    assert all(WHISPER_CODES[code] == code for code in LANGUAGES)


def test_every_language_has_a_code_of_three_letters() -> None:
    assert {WHISPER_CODES[code] for code in WHISPER_CODES if len(code) == 3} == set(LANGUAGES)


def test_bibliographic_and_terminological_codes_mean_the_same() -> None:
    pairs = "ger/deu fre/fra dut/nld chi/zho cze/ces gre/ell per/fas rum/ron slo/slk wel/cym ice/isl mac/mkd tib/bod"
    for pair in pairs.split():
        bibliographic, terminological = pair.split("/")
        assert WHISPER_CODES[bibliographic] == WHISPER_CODES[terminological]


def test_a_user_may_write_every_code_that_a_file_may_have_and_means_the_same_language() -> None:
    assert {code: to_language_code(code) for code in WHISPER_CODES} == dict(WHISPER_CODES)


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
        ("vls", "nl"),
        ("prs", "fa"),
        ("azb-IR", "az"),
        ("pbu", "ps"),
        ("zlm", "ms"),
        (" fre ", "fr"),
        ("und", None),
        ("mul", None),
        ("", None),
        ("tlh", None),
    ],
)
def test_a_tag_is_the_code_of_its_language(tag: str, code: str | None) -> None:
    assert find_whisper_code(tag) == code
