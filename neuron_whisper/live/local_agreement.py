"""Stable partial text: what two consecutive hypotheses agree on (LocalAgreement-2). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from neuron_whisper.live.events import TextPiece


@dataclass(slots=True)
class LocalAgreement:
    """An utterance's partial text.

    `stable` was emitted and only grows. `pending_prefix` is the part of it that lies in the window being decoded:
    the next hypothesis has it as prefix and can only continue it. `unstable` is the rest of the last hypothesis.
    """

    stable: list[TextPiece] = field(default_factory=list)
    pending_prefix: list[TextPiece] = field(default_factory=list)
    unstable: list[TextPiece] = field(default_factory=list)

    @property
    def prefix_tokens(self) -> tuple[int, ...]:
        """The tokens of the next hypothesis's prefix."""
        return tuple(token for piece in self.pending_prefix for token in piece.tokens)

    def add_hypothesis(self, pieces: Sequence[TextPiece]) -> None:
        """Adds a hypothesis's words after `pending_prefix`; those that the previous one agrees on become stable."""
        agreed = 0
        for before, now in zip(self.unstable, pieces, strict=False):
            if before.text != now.text:
                break
            agreed += 1
        self.stable += pieces[:agreed]
        self.pending_prefix += pieces[:agreed]
        self.unstable = list(pieces[agreed:])

    def finalize_window(self, pieces: Sequence[TextPiece], *, is_complete: bool) -> None:
        """Takes the window's final text, `pieces`; the next window starts at its end.

        Words emitted beyond the end of the final text stay pending for the next window, unless the final text covers
        all audio (`is_complete`); final words not emitted yet become stable.
        """
        n_emitted, n_final = align_texts(
            [piece.text for piece in self.pending_prefix], [piece.text for piece in pieces], is_complete=is_complete
        )
        self.stable += pieces[n_final:]
        self.pending_prefix = self.pending_prefix[n_emitted:]
        self.unstable = []


def align_texts(emitted: Sequence[str], final: Sequence[str], *, is_complete: bool = False) -> tuple[int, int]:
    """Aligns both texts and returns how many words of each cover the same speech: all of one, or all of `emitted`.

    By the least edit distance of words, ignoring marks and case: (a b c), (a x c d) -> 3, 3.
    """
    left, right = [_normalize_word(word) for word in emitted], [_normalize_word(word) for word in final]
    row = [0]
    for word in right:
        row.append(row[-1] + bool(word))
    ends: list[tuple[int, int, int]] = []  # (distance, words of emitted, words of final)
    for i in range(len(left) + 1):
        if i:
            word, before, row = left[i - 1], row, [row[0] + bool(left[i - 1])]
            for j, other in enumerate(right, start=1):
                change = before[j - 1] + (word != other)
                row.append(min(change, before[j] + bool(word), row[j - 1] + bool(other)))
        if i == len(left):
            ends += [(row[j], i, j) for j in range(len(right) + 1)]
        elif not is_complete:
            ends.append((row[-1], i, len(right)))
    # on a tie, take the most words as emitted: a missing word is better than one twice
    _, n_emitted, n_final = min(ends, key=lambda end: (end[0], -end[1] - end[2]))
    return n_emitted, n_final


def _normalize_word(word: str) -> str:
    return "".join(letter for letter in word.casefold() if letter.isalnum())
