"""Two systems' times of the same words."""

from __future__ import annotations

from benchmarks.checks.word_times import compare_times_s, count_backward_words


def test_times_are_compared_where_both_have_the_word() -> None:
    ours = [(0.0, 0.5, " And"), (0.5, 1.0, " so"), (1.0, 1.5, " my")]
    theirs = [(0.0, 0.25, "and"), (1.0, 2.0, " MY")]
    assert compare_times_s(ours, theirs) == [0.0, 0.25, 0.0, 0.5]


def test_a_word_that_goes_back_is_counted() -> None:
    assert count_backward_words([(0.0, 1.0, "a"), (1.0, 1.0, "b"), (1.0, 2.0, "c")]) == 0
    assert count_backward_words([(0.0, 1.0, "a"), (3.0, 2.0, "b"), (1.0, 2.0, "c")]) == 2
