"""Languages: what people write, and the code it means."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.errors import InvalidOption
from neuron_whisper.text.languages import ALIASES, LANGUAGES, NO_SPACE_LANGUAGES, parse_language, to_language_code


def test_there_are_a_hundred_languages_and_cantonese_is_the_last() -> None:
    codes = tuple(LANGUAGES)
    assert len(codes) == 100
    assert codes[:8] == ("en", "zh", "de", "es", "ru", "ko", "fr", "ja")
    assert codes[98:] == ("su", "yue")
    assert LANGUAGES["yue"] == "cantonese"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("en", "en"),
        ("EN", "en"),
        (" ja ", "ja"),
        ("Japanese", "ja"),
        ("CANTONESE", "yue"),
        ("haitian creole", "ht"),
        ("Haitian  Creole", "ht"),
        ("haitian", "ht"),
        ("burmese", "my"),
        ("valencian", "ca"),
        ("flemish", "nl"),
        ("letzeburgesch", "lb"),
        ("pushto", "ps"),
        ("panjabi", "pa"),
        ("moldavian", "ro"),
        ("moldovan", "ro"),
        ("sinhalese", "si"),
        ("castilian", "es"),
        ("Mandarin", "zh"),
        ("en-US", "en"),
        ("pt-BR", "pt"),
        ("zh_CN", "zh"),
        ("zh-Hant-TW", "zh"),
        ("es-419", "es"),
        ("haw-US", "haw"),
        ("zh-yue", "yue"),
        ("yue-HK", "yue"),
        ("jv", "jw"),
        ("nb-NO", "no"),
        ("iw", "he"),
        ("deu", "de"),
        ("ger", "de"),
        ("GER", "de"),
        ("cmn", "zh"),
        ("cmn-Hans-CN", "zh"),
        ("eng-US", "en"),
        ("fil-PH", "tl"),
        ("nob", "no"),
        ("nno", "nn"),
        ("msa", "ms"),
        ("zho-yue", "yue"),
        ("zh-cmn-Hans", "zh"),
        ("de_DE.UTF-8", "de"),
        ("sr_RS@latin", "sr"),
        ("de-u-co-phonebk", "de"),
        ("English (United States)", "en"),
        ("Chinese (Simplified)", "zh"),
        ("Norwegian Bokmål", "no"),
        ("Farsi", "fa"),
    ],
)
def test_a_language_is_known_by(text: str, code: str) -> None:
    assert to_language_code(text) == code


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "xx",
        "english-us",
        "en-",
        "-en",
        "en US",
        "en-US!",
        "xx-US",
        "<|en|>",
        "auto",
        "und",
        "en-a/b",
        "eng-",
        "(en)",
        "en@",
        "xyz",
    ],
)
def test_what_is_no_language_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        to_language_code(text)
    assert (caught.value.field, caught.value.value) == ("language", text)


def test_a_misspelt_language_is_answered_with_the_closest_names() -> None:
    with pytest.raises(InvalidOption, match="close to it: german"):
        to_language_code("germn")


def test_languages_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        LANGUAGES["en"] = "klingon"  # type: ignore[index]  # that it is refused is the point


def test_every_alias_and_every_language_without_spaces_is_a_language() -> None:
    assert set(ALIASES.values()) <= set(LANGUAGES)
    assert sorted(NO_SPACE_LANGUAGES) == ["ja", "lo", "my", "th", "yue", "zh"]


@given(st.sampled_from(list(LANGUAGES.items())), st.sampled_from(["", "-US", "_419", "-Latn-XX"]))
def test_a_code_with_any_region_and_its_name_mean_the_same(language: tuple[str, str], region: str) -> None:
    code, name = language
    assert to_language_code(code.upper() + region) == to_language_code(name.title()) == code


@given(st.text())
def test_any_text_is_a_language_or_an_invalid_option(text: str) -> None:
    with contextlib.suppress(InvalidOption):
        assert to_language_code(text) in LANGUAGES


def test_the_languages_are_openai_whispers_in_its_order() -> None:
    theirs = pytest.importorskip(
        "whisper.tokenizer", reason="openai-whisper is not installed: that its order is ours is not proved"
    )
    assert list(LANGUAGES.items()) == list(theirs.LANGUAGES.items())
    for name, code in theirs.TO_LANGUAGE_CODE.items():
        assert to_language_code(name) == code


@pytest.mark.parametrize("text", ["", " ", "auto", "AUTO", " und "])
def test_a_language_that_is_not_known_is_detected(text: str) -> None:
    assert parse_language(text) is None
