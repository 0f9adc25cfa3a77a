"""Partial text that is never taken back: what two hypotheses in a row agree on (LocalAgreement-2). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from neuron_whisper.live.events import TextPiece


@dataclass(slots=True)
class LocalAgreement:
    """An utterance's partial text.

    `stable` has been told and only grows. `pending_prefix` is its end that lies in the window that is being decoded:
    the next hypothesis is made to begin with it, so that it can only go on from there. `unstable` is what the last
    hypothesis said behind it.
    """

    stable: list[TextPiece] = field(default_factory=list)
    pending_prefix: list[TextPiece] = field(default_factory=list)
    unstable: list[TextPiece] = field(default_factory=list)

    @property
    def prefix_tokens(self) -> tuple[int, ...]:
        """The tokens that the next hypothesis begins with."""
        return tuple(token for piece in self.pending_prefix for token in piece.tokens)

    def add_hypothesis(self, pieces: Sequence[TextPiece]) -> None:
        """A hypothesis's words behind `pending_prefix`; those that the one before said too are stable from now on."""
        agreed = 0
        for before, now in zip(self.unstable, pieces, strict=False):
            if before.text != now.text:
                break
            agreed += 1
        self.stable += pieces[:agreed]
        self.pending_prefix += pieces[:agreed]
        self.unstable = list(pieces[agreed:])

    def finalize_window(self, pieces: Sequence[TextPiece], *, is_complete: bool) -> None:
        """The window got its final text, `pieces`, and the next one starts where that ends.

        What was told beyond the final text's end lies ahead of the next window, unless the final text `is_complete`
        that was heard; what was not told yet, is now.
        """
        told, said = align_texts(
            [piece.text for piece in self.pending_prefix], [piece.text for piece in pieces], is_complete=is_complete
        )
        self.stable += pieces[said:]
        self.pending_prefix = self.pending_prefix[told:]
        self.unstable = []


def align_texts(emitted: Sequence[str], final: Sequence[str], *, is_complete: bool = False) -> tuple[int, int]:
    """How many words of `emitted` and of `final` are the same stretch of speech: all of one of them, or all of
    `emitted`.

    By the least edit distance of words, marks and capitals aside: (a b c), (a x c d) -> 3, 3.
    """
    left, right = [_normalize_word(word) for word in emitted], [_normalize_word(word) for word in final]
    row = [0]
    for word in right:
        row.append(row[-1] + bool(word))
    ends: list[tuple[int, int, int]] = []  # (distance, words of told, words of said)
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
    # of equals the one that takes most as told: a word too few is better than one twice
    _, n_told, n_said = min(ends, key=lambda end: (end[0], -end[1] - end[2]))
    return n_told, n_said


def _normalize_word(word: str) -> str:
    return "".join(letter for letter in word.casefold() if letter.isalnum())
