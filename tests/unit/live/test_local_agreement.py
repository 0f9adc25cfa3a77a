"""Partial text by agreement of two hypotheses: it only grows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.live import (
    TextPiece,
    join_pieces,
)
from neuron_whisper.live.local_agreement import LocalAgreement, align_texts


def pieces(text: str) -> list[TextPiece]:
    return [TextPiece(text=f" {word}", tokens=(), logprobs=()) for word in text.split()]


def test_what_two_hypotheses_agree_on_is_stable_and_the_rest_is_not() -> None:
    agreement = LocalAgreement()
    agreement.add_hypothesis(pieces("and so my fell"))
    assert join_pieces(agreement.stable) == ""
    agreement.add_hypothesis(pieces("and so my fellow Americans"))
    assert (join_pieces(agreement.stable), join_pieces(agreement.unstable)) == ("and so my", "fellow Americans")
    agreement.add_hypothesis(pieces("fellow Americans ask"))
    assert (join_pieces(agreement.stable), join_pieces(agreement.unstable)) == ("and so my fellow Americans", "ask")


def test_a_longer_final_text_completes_the_stable_text() -> None:
    agreement = LocalAgreement()
    agreement.add_hypothesis(pieces("one two"))
    agreement.add_hypothesis(pieces("one two three"))
    agreement.finalize_window(pieces("One, two three four."), is_complete=True)
    assert join_pieces(agreement.stable) == "one two three four."
    assert not agreement.pending_prefix


def test_text_emitted_beyond_a_windows_end_is_the_prefix_of_the_next() -> None:
    agreement = LocalAgreement()
    agreement.add_hypothesis(pieces("one two three four"))
    agreement.add_hypothesis(pieces("one two three four"))
    agreement.finalize_window(pieces("one too three"), is_complete=False)
    assert join_pieces(agreement.stable) == "one two three four"
    assert join_pieces(agreement.pending_prefix) == "four"


@pytest.mark.parametrize(
    ("emitted", "final", "is_complete", "expected"),
    [
        ("a b c", "a x c d", False, (3, 3)),
        ("a b c d e", "a b c", False, (3, 3)),
        ("a b c d e", "a b c", True, (5, 3)),
        ("", "a b", False, (0, 0)),
        ("a b", "", True, (2, 0)),
        ("a b", "A, B.", False, (2, 2)),
        ("q r", "a b", False, (2, 2)),
    ],
)
def test_emitted_words_are_aligned_with_the_final_ones(
    emitted: str, final: str, is_complete: bool, expected: tuple[int, int]
) -> None:
    assert align_texts(emitted.split(), final.split(), is_complete=is_complete) == expected


words = st.lists(st.sampled_from(["a", "b", "c", "a,", "B"]), max_size=7).map(" ".join)


@given(st.lists(st.tuples(st.sampled_from(["hypothesis", "final", "final all"]), words), max_size=12))
def test_stable_text_is_never_taken_back(moves: list[tuple[str, str]]) -> None:
    agreement = LocalAgreement()
    before = ""
    for move, text in moves:
        if move == "hypothesis":
            agreement.add_hypothesis(pieces(text))
        else:
            agreement.finalize_window(pieces(text), is_complete=move == "final all")
        now = join_pieces(agreement.stable)
        assert now.startswith(before)
        assert now.endswith(join_pieces(agreement.pending_prefix))
        before = now
