"""Repetition loops at the end of a text: where they begin, and what is left of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuron_whisper.decode.repetition import MIN_LOOP_TOKENS, find_loop_start, truncate_loop
from tests.support.tiny_program import SPECIAL


@pytest.mark.parametrize(
    ("tokens", "start"),
    [
        ([9, *[1, 2] * 4], 3),
        ([1, 2] * 3, None),
        ([*range(50)], None),
        ([5, 6, *[7] * 8], 3),
        ([*[1, 2, 3] * 4, 1], 3),
        ([], None),
    ],
    ids=["a pair four times", "three times may be meant", "no loop", "one token", "an unfinished round", "empty"],
)
def test_a_loop_begins_with_its_second_round(tokens: list[int], start: int | None) -> None:
    assert find_loop_start(tokens, min_tokens=8) == start


@settings(max_examples=200)
@given(
    st.lists(st.integers(0, 50), max_size=20),
    st.lists(st.integers(0, 50), min_size=1, max_size=12),
    st.integers(24, 30),
)
def test_at_most_one_round_of_a_loop_is_left(before: list[int], rounds: list[int], times: int) -> None:
    kept = truncate_loop([*before, *rounds * times], 60)
    assert kept == [*before, *rounds * times][: len(kept)]
    assert len(kept) <= len(before) + len(rounds)


def test_the_timestamp_after_the_first_round_stays() -> None:
    begin = SPECIAL.timestamp_begin
    round_ = [1, 2, 3, 4, 5, 6]
    looped = [begin, *round_, begin + 50, begin + 50, *round_, begin + 90, begin + 90, *round_, *round_]
    assert truncate_loop(looped, SPECIAL.eot) == [begin, *round_, begin + 50]


def test_a_short_loop_may_be_speech() -> None:
    assert find_loop_start([5] * (MIN_LOOP_TOKENS - 1)) is None
    assert find_loop_start([5] * MIN_LOOP_TOKENS) == 1


def test_a_text_without_a_loop_stays() -> None:
    assert truncate_loop([1, 2, 3, 4], 60) == [1, 2, 3, 4]
    assert truncate_loop([], 60) == []
