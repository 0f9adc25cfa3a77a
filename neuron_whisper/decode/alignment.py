"""Times the words of a window by the attention of its text tokens to its audio frames.

Follows openai/whisper timing.py find_alignment. H heads, T tokens, A encoder frames of 20 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.decode.dtw import dtw
from neuron_whisper.text.special_tokens import TIMESTAMP_STEP_S
from neuron_whisper.text.tokenizer import Tokenizer
from neuron_whisper.text.word_splitting import CHARACTER_LANGUAGES, OPENAI, WHOLE, join_whole_words

MEL_FRAMES_PER_STEP = 2  # the encoder halves the frame rate: 10 ms -> 20 ms
STEPS_PER_SECOND = round(1 / TIMESTAMP_STEP_S)

# A sorting network pruned to the median: compare and exchange these pairs of seven values in order.
_MEDIAN_NETWORK = (
    (0, 5),
    (0, 3),
    (1, 6),
    (2, 4),
    (0, 1),
    (3, 5),
    (2, 6),
    (2, 3),
    (3, 6),
    (4, 5),
    (1, 4),
    (1, 3),
    (3, 4),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignmentTokens:
    """Input of Session.align: `tokens` (T,) int32; row `first_row` of its output belongs to the first text token."""

    tokens: NDArray[np.int32]
    first_row: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WordTiming:
    """A word with its tokens and its times in seconds from the window's start."""

    text: str
    tokens: tuple[int, ...]
    start_s: float
    end_s: float
    probability: float


def build_alignment_tokens(
    tokenizer: Tokenizer, text_tokens: Sequence[int], *, language: str | None, task: str, max_tokens: int
) -> AlignmentTokens:
    """Builds <|sot|>, language, task, <|notimestamps|>, the window's text, <|eot|>: at most `max_tokens` tokens.

    `max_tokens` is the longest align bucket. A window holds at most n_text_ctx / 2 = 224 text tokens, so 229 tokens
    are the maximum, and a bucket of 256 takes any window. A shorter bucket leaves the last text tokens out;
    align_words then places their words at the end, with no duration.
    Raises InvalidOption where Tokenizer.sot_sequence does.
    """
    start = tokenizer.sot_sequence(language, task, timestamps=False)
    kept = text_tokens[: max(0, max_tokens - len(start) - 1)]
    # attention of row i aligns the token after it: <|notimestamps|> aligns the first text token
    return AlignmentTokens(tokens=np.array([*start, *kept, tokenizer.special.eot], np.int32), first_row=len(start) - 1)


def find_token_times(attention: NDArray[np.float32], first_row: int, n_frames: int) -> NDArray[np.float64]:
    """Seconds in the window at which each text token begins, and the end of the last: (T - first_row - 1,).

    attention (H, T, A) as Session.align gives it for AlignmentTokens; `n_frames` mel frames of the window are
    audio. The first time is always 0, and times never decrease.
    """
    n_rows = attention.shape[1] - first_row - 1  # the row of <|eot|> aligns nothing
    steps = attention[:, :, : n_frames // MEL_FRAMES_PER_STEP]
    if not steps.size:
        return np.zeros(n_rows)
    matrix = np.zeros((n_rows, steps.shape[2]), np.float32)
    for weights in steps:  # head by head: a head stays in the processor's cache
        matrix += _median_filter(_normalize_weights(weights)[first_row:-1])
    rows, columns = dtw(-matrix / len(steps))
    begins: NDArray[np.intp] = columns[np.searchsorted(rows, np.arange(n_rows))]
    return begins / STEPS_PER_SECOND


def _normalize_weights(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Standardizes one head's (T, frames) over the tokens: deviations above each frame's mean."""
    # softmax over the frames kept = softmax over all frames, rescaled to sum to 1
    total = weights.sum(-1, keepdims=True)
    shares = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    deviation = shares.std(0)
    normalized = np.zeros_like(weights)
    np.divide(shares - shares.mean(0), deviation, out=normalized, where=deviation > 0)
    return normalized


def _median_filter(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Median of seven along the frames of (rows, frames), mirrored at the ends."""
    width = values.shape[1]
    if width <= 3:  # nothing to mirror; openai/whisper leaves it alone too
        return values
    padded = np.pad(values, ((0, 0), (3, 3)), mode="reflect")
    shifted = [padded[:, shift : shift + width] for shift in range(7)]
    for low, high in _MEDIAN_NETWORK:
        shifted[low], shifted[high] = np.minimum(shifted[low], shifted[high]), np.maximum(shifted[low], shifted[high])
    return shifted[3]


def align_words(
    attention: NDArray[np.float32],
    first_row: int,
    texts: Sequence[Sequence[int]],
    logprobs: Sequence[float],
    tokenizer: Tokenizer,
    *,
    language: str | None,
    n_frames: int,
    splitting: str = WHOLE,
) -> list[list[WordTiming]]:
    """Splits each of a window's texts (text tokens of its segments) into words and times them by their attention.

    `logprobs` has one entry for every token of `texts`; `language` is that of the text ("en" for a translation).
    openai/whisper splits the joined texts, where a word across two segments shifts all words after it; here a
    word ends with its segment.
    """
    n_tokens = sum(map(len, texts))
    assert len(logprobs) == n_tokens, f"{len(logprobs)} log-probabilities for {n_tokens} tokens"
    times = find_token_times(attention, first_row, n_frames)
    times = np.pad(times, (0, max(0, n_tokens + 1 - len(times))), mode="edge")  # left out by build_alignment_tokens
    probabilities = np.exp(np.asarray(logprobs, np.float64))
    timed: list[list[WordTiming]] = []
    first = 0
    for tokens in texts:
        timings = []
        for text, group in split_words(tokenizer, tokens, language, splitting):
            last = first + len(group)
            timings.append(
                WordTiming(
                    text=text,
                    tokens=tuple(group),
                    start_s=float(times[first]),
                    end_s=float(times[last]),
                    probability=float(probabilities[first:last].mean()),
                )
            )
            first = last
        timed.append(timings)
    return timed


def split_words(
    tokenizer: Tokenizer, tokens: Sequence[int], language: str | None, splitting: str = WHOLE
) -> list[tuple[str, list[int]]]:
    """Splits text tokens into words, one of WORD_SPLITTINGS. The joined words equal tokenizer.decode(tokens).

    As Tokenizer.split_to_word_tokens, but bytes that are not a character yet, such as half of one at the end, stay
    with the word before if splitting there would add a character.
    """
    if splitting == OPENAI:
        return _split_as_openai(tokenizer, tokens, language)
    # for all of these: wherever a character ends
    by_character = "zh" if language in CHARACTER_LANGUAGES else language
    return join_whole_words(_split_as_openai(tokenizer, tokens, by_character), language)


def _split_as_openai(tokenizer: Tokenizer, tokens: Sequence[int], language: str | None) -> list[tuple[str, list[int]]]:
    words, groups = tokenizer.split_to_word_tokens(tokens, language)
    whole = tokenizer.decode(tokens)
    if "".join(words) == whole:
        return list(zip(words, groups, strict=True))
    joined: list[list[int]] = []
    done = 0
    is_boundary = False  # decoding both sides separately gives the same text
    for group in groups:
        if is_boundary:
            joined.append(list(group))
        else:
            joined[-1:] = [[*chain.from_iterable(joined[-1:]), *group]]
        done += len(group)
        is_boundary = tokenizer.decode(tokens[:done]) + tokenizer.decode(tokens[done:]) == whole
    return [(tokenizer.decode(group), group) for group in joined]
