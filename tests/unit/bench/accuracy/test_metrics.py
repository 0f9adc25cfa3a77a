"""Error rates against literals, and their laws."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.bench.accuracy.metrics import (
    ErrorCounts,
    count_character_errors,
    count_word_errors,
    percentile,
    sum_counts,
)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "language", "counts"),
    [
        ("The cat sat on the mat.", "the cat sat on the mat", "en", (0, 0, 0, 6)),
        ("The cat sat on the mat.", "The cat sit on mat", "en", (1, 1, 0, 6)),
        ("Mr. Smith paid $20", "mister smith paid twenty dollars", "en", (0, 0, 0, 4)),
        ("ask not", "so ask not what", "en", (0, 0, 2, 2)),
        ("ask not", "", "en", (0, 2, 0, 2)),
        ("", "thank you", "en", (0, 0, 2, 0)),
        ("Grüß Gott, Welt", "grüß gott wald", "de", (1, 0, 0, 3)),
    ],
)
def test_words_are_counted_after_openai_whispers_normaliser(
    reference: str, hypothesis: str, language: str, counts: tuple[int, int, int, int]
) -> None:
    counted = count_word_errors(reference, hypothesis, language)
    assert (counted.substitutions, counted.deletions, counted.insertions, counted.reference) == counts


@pytest.mark.parametrize(
    ("reference", "hypothesis", "language", "counts"),
    [
        ("東京、です。", "東京 で", "ja", (0, 1, 0, 4)),
        ("ＡＢＣ１２", "abc12", "ja", (0, 0, 0, 5)),
        ("안녕 하세요", "안녕하세오", "ko", (1, 0, 0, 5)),
        ("你好，世界", "你号世界啊", "zh", (1, 0, 1, 4)),
        ("a cat", "a cap", "en", (1, 0, 0, 5)),
    ],
)
def test_characters_are_counted_without_spaces_where_words_have_none(
    reference: str, hypothesis: str, language: str, counts: tuple[int, int, int, int]
) -> None:
    counted = count_character_errors(reference, hypothesis, language)
    assert (counted.substitutions, counted.deletions, counted.insertions, counted.reference) == counts


def test_rates_add_up_by_their_counts() -> None:
    counted = sum_counts(
        [ErrorCounts(substitutions=1, reference=4), ErrorCounts(deletions=1, insertions=2, reference=12)]
    )
    assert (counted.errors, counted.reference, counted.rate) == (4, 16, 0.25)
    assert ErrorCounts(insertions=3).rate is None


TEXTS = st.lists(st.sampled_from(["cat", "dog", "e6", "æ", "12", "don't"]), max_size=6).map(" ".join)


@given(TEXTS)
def test_a_text_has_no_errors_against_itself(text: str) -> None:
    assert count_word_errors(text, text, "de").errors == count_character_errors(text, text, "ja").errors == 0


@given(TEXTS, TEXTS)
def test_as_many_errors_one_way_as_the_other(one: str, other: str) -> None:
    there, back = count_word_errors(one, other, "de"), count_word_errors(other, one, "de")
    assert there.errors == back.errors <= max(there.reference, back.reference)
    assert there.deletions - there.insertions == there.reference - back.reference


def test_percentiles_lie_between_the_nearest_values() -> None:
    assert percentile([4, 1, 3, 2], 50) == 2.5
    assert percentile([1, 2, 3, 4, 5], 95) == pytest.approx(4.8)
    assert percentile([7.0], 99) == 7.0
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)
