"""How much speech a text can be the text of."""

from __future__ import annotations

import pytest

from neuron_whisper.text.speaking_time import estimate_longest_s, measure_letters


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("", 0),
        (" Ask not!", 6),
        ("...", 0),
        ("größer", 6),
        ("42 %", 12),
        ("$5", 8),
        ("東京", 6),
        ("こんにちは", 10),
        ("안녕", 6),
        ("นี่", 3),  # marks count: they are vowels
        ("سلام", 6),
        ("नमस्ते", 6),
    ],
)
def test_a_text_is_measured_in_latin_letters(text: str, letters: float) -> None:
    assert measure_letters(text) == letters


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        # what recordings hold of speech without pauses, spoken at half their speed
        ("1, 2, 3, 4, 5, 6, 7, 8, 9, 10.", 2 * 3.2),
        ("1-2-3-4-5-6-8-0", 2 * 3.1),
        ("但直到2011年3月才開始通車", 2 * 3.0),
        (
            "復興努力に耐えするリベルハカラの批判では、ワシントの内部関係者と思われるジンブスと復興契約を変わした",
            2 * 8.0,
        ),
        ("The earliest book printed with movable types, the Gutenberg or 42 line Bible of about 1455.", 2 * 8.0),
        ("and to sell and transfer the rights to the software.", 2 * 4.9),
    ],
)
def test_a_text_that_is_spoken_at_half_the_usual_speed_is_long_enough_for_it(text: str, seconds: float) -> None:
    assert estimate_longest_s(text) > seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("then in the same operations with ugly ones.", 16.0),
        ("Has never been surpassed.", 9.0),
        ("你好事件", 9.0),
        ("こんにちは世界", 12.0),
    ],
)
def test_a_sentence_is_too_short_for_three_of_its_length(text: str, seconds: float) -> None:
    assert estimate_longest_s(text) < seconds - 2.0
