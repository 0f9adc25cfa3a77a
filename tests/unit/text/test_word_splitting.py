"""Whole words: where openai-whisper's words are joined, in scripts with spaces and without."""

from __future__ import annotations

import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.text.word_splitting import join_whole_words


def split_as_openai(text: str) -> list[tuple[str, list[int]]]:
    """Every character a token, words as openai/whisper splits those: at spaces and ASCII punctuation."""
    words: list[tuple[str, list[int]]] = []
    is_space = False
    for place, character in enumerate(text):
        if character == " ":
            words.append((character, [place]))
        elif words and (is_space or not unicodedata.category(character).startswith(("P", "S"))):
            words[-1] = (words[-1][0] + character, [*words[-1][1], place])
        else:
            words.append((character, [place]))
        is_space = character == " "
    return words


def join(text: str, language: str = "en") -> list[str]:
    return [word for word, _ in join_whole_words(split_as_openai(text), language)]


def join_characters(text: str, language: str) -> list[str]:
    pieces = [(character, [place]) for place, character in enumerate(text)]
    return [word for word, _ in join_whole_words(pieces, language)]


@pytest.mark.parametrize(
    "word",
    [
        "aujourd'hui",
        "aujourd’hui",
        "o'clock",
        "rock'n'roll",
        "$1,250.75",
        "€3.50",
        "1,250,000",
        "3-2",
        "3–2",
        "10:30",
        "10:30:45",
        "24/7",
        "50%",
        "20°C",
        "e-mail",
        "state-of-the-art",
        "A.I",
        "example.com",
        "me@example.com",
        "AT&T",
        "km/h",
        "v2.0.1",
        "snake_case",
        "स्वत-ंत्र",
        "из-за",
    ],
)
def test_a_word_does_not_end_inside(word: str) -> None:
    assert join(f" a {word} b") == [" a", f" {word}", " b"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (" Hello, world!", [" Hello", ",", " world", "!"]),
        (" yes.", [" yes", "."]),
        (" one,two", [" one", ",two"]),
        (" note:this", [" note", ":this"]),
        (" one--two", [" one", "-", "-two"]),
        (" (a)", [" (a", ")"]),
        (" 3, 4", [" 3", ",", " 4"]),
        (" 5 - 3", [" 5", " -", " 3"]),
        (" a- b", [" a", "-", " b"]),
        (" the '60s", [" the", " '60s"]),
        (" 100% sure", [" 100%", " sure"]),
    ],
)
def test_marks_between_words_stand_alone(text: str, words: list[str]) -> None:
    assert join(text) == words


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [
        ("ja", "iPhone15を買う", ["iPhone15", "を", "買", "う"]),
        ("ja", "e-mailは10:30に", ["e-mail", "は", "10:30", "に"]),
        ("zh", "售价$1,250.75元", ["售", "价", "$1,250.75", "元"]),
        ("zh", "他说“你好”。", ["他", "说", "“你", "好”。"]),
        ("ja", "「はい」と", ["「は", "い」", "と"]),
        ("ja", "がっこう", ["がっ", "こ", "う"]),
        ("ja", "か\u3099く", ["か\u3099", "く"]),
        ("th", "ไทยที่", ["ไท", "ย", "ที่"]),
        ("th", "น้ำมา", ["น้ำ", "มา"]),
        ("km", "ខ្មែរ", ["ខ្មែ", "រ"]),
        ("km", "ភាសាOpenAI២៥", ["ភា", "សា", "OpenAI២៥"]),
        ("my", "မြန်မာ", ["မြ", "န်", "မာ"]),
        ("my", "က္ကာ", ["က္ကာ"]),
        ("lo", "ເປັນ", ["ເປັ", "ນ"]),
        ("bo", "བོད་སྐད།", ["བོད་", "སྐད།"]),
        ("yue", "OK啦", ["OK", "啦"]),
        ("zh", "3月5日", ["3", "月", "5", "日"]),
    ],
)
def test_scripts_without_spaces_are_split_between_characters_as_they_are_read(
    language: str, text: str, words: list[str]
) -> None:
    assert join_characters(text, language) == words


TEXTS = st.lists(
    st.text(max_size=3)
    | st.sampled_from([" ", "'", "-", "3", "a", "。", "「", "ក", "្", "ไ", "ำ", "é", "e\u0301", "を", "$", ",", "%"]),
    max_size=20,
).map("".join)


@given(TEXTS, st.sampled_from(["en", "ja", "km", "bo"]))
def test_joined_words_are_the_same_text_and_tokens(text: str, language: str) -> None:
    pieces = [(character, [place]) for place, character in enumerate(text)]
    words = join_whole_words(pieces, language)
    assert "".join(word for word, _ in words) == text
    assert [token for _, tokens in words for token in tokens] == list(range(len(text)))


@given(TEXTS, st.sampled_from(["zh", "ja", "th", "km"]))
def test_no_word_begins_with_a_mark_nor_ends_with_an_opening_bracket(text: str, language: str) -> None:
    words = join_characters(text, language)
    for left, right in itertools.pairwise(words):
        if left[-1].isspace() or right[0].isspace():
            continue
        assert not unicodedata.combining(right[0])
        assert unicodedata.category(left[-1]) not in ("Ps", "Pi")
        assert not (left[-1].isascii() and right[0].isascii() and left[-1].isalnum() and right[0].isalnum())
