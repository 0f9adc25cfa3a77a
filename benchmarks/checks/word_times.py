"""Compares two systems' times of the same words."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import pairwise

from neuron_whisper.bench.engines.results import TimedText


def compare_times_s(ours: Sequence[TimedText], theirs: Sequence[TimedText]) -> list[float]:
    """|start - start| and |end - end| of every word that both have at the same place of their texts, in seconds."""
    one, other = ([word.strip().lower() for _, _, word in spans] for spans in (ours, theirs))
    differences: list[float] = []
    for block in SequenceMatcher(a=one, b=other, autojunk=False).get_matching_blocks():
        for n in range(block.size):
            a, b = ours[block.a + n], theirs[block.b + n]
            differences += [abs(a[0] - b[0]), abs(a[1] - b[1])]
    return differences


def count_backward_words(spans: Sequence[TimedText]) -> int:
    """Words that end before they begin, or begin before the one ahead of them does."""
    return sum(end < start for start, end, _ in spans) + sum(b[0] < a[0] for a, b in pairwise(spans))
