"""Which segments were made up in silence, told from how long and how likely their words are.

Follows openai/whisper transcribe.py, hallucination_silence_threshold.
"""

from __future__ import annotations

from collections.abc import Sequence

from neuron_whisper.decode.words import (
    APPEND_PUNCTUATIONS,
    MEL_FRAMES_PER_SECOND,
    PREPEND_PUNCTUATIONS,
    SegmentWithWords,
)
from neuron_whisper.transcript import Word

UNLIKELY_PROBABILITY = 0.15  # probability of a word nobody said
SHORT_WORD_S = 0.133
SHORT_PENALTY_PER_S = 15.0
LONG_WORD_S = 2.0
MAX_SCORED_WORDS = 8
SEGMENT_SCORE_LIMIT = 3.0
WINDOW_EDGE_S = 2.0  # so close to an end of the window there is no telling what lies beyond: taken as silence
WINDOW_S = 30.0

_PUNCTUATION = PREPEND_PUNCTUATIONS + APPEND_PUNCTUATIONS


def word_anomaly_score(word: Word) -> float:
    """0 for a word as people speak them; higher the less likely, and the shorter or longer, it is."""
    length_s = word.end_s - word.start_s
    score = 1.0 if word.probability < UNLIKELY_PROBABILITY else 0.0
    if length_s < SHORT_WORD_S:
        score += (SHORT_WORD_S - length_s) * SHORT_PENALTY_PER_S
    return score + max(0.0, length_s - LONG_WORD_S)


def is_segment_anomaly(words: Sequence[Word]) -> bool:
    """Whether a segment's first words are anomalous together. No words: no."""
    if not words:
        return False
    judged = [word for word in words if word.text not in _PUNCTUATION][:MAX_SCORED_WORDS]
    score = sum(map(word_anomaly_score, judged))
    return score >= SEGMENT_SCORE_LIMIT or score + 0.01 >= len(judged)


def remove_hallucinations(
    spans: Sequence[SegmentWithWords],
    *,
    threshold_s: float,
    seek_frames: int,
    window_frames: int,
    content_frames: int,
    last_speech_s: float,
) -> tuple[list[SegmentWithWords], int | None]:
    """(spans to keep, mel frame to go on at) of a window at `seek_frames`; None: nothing was found, go on as usual.

    An anomalous segment with silence, more than `threshold_s`, or another anomaly on both sides is dropped with
    all that follow it in the window, and the next window starts there. Anomalous first words after a silence drop
    the whole window, which starts again behind the silence. `window_frames` of the window are audio;
    `content_frames` is the length of the clip.
    """
    window_start_s = seek_frames / MEL_FRAMES_PER_SECOND
    window_end_s = window_start_s + WINDOW_S
    content_end_s = content_frames / MEL_FRAMES_PER_SECOND
    first = _find_segment_with_words(spans)
    if first and is_segment_anomaly(first.words):
        gap_s = first.start_s - window_start_s
        if gap_s > threshold_s:
            return [], seek_frames + round(gap_s * MEL_FRAMES_PER_SECOND)
    speech_end_s = last_speech_s
    for index, span in enumerate(spans):
        if not span.words:
            continue
        if is_segment_anomaly(span.words):
            following = _find_segment_with_words(spans[index + 1 :])
            next_start_s = (
                following.words[0].start_s if following else (window_start_s + window_frames / MEL_FRAMES_PER_SECOND)
            )
            is_silent_before = (
                span.start_s - speech_end_s > threshold_s
                or span.start_s < threshold_s
                or span.start_s - window_start_s < WINDOW_EDGE_S
            )
            is_silent_after = (
                next_start_s - span.end_s > threshold_s
                or (following is not None and is_segment_anomaly(following.words))
                or window_end_s - span.end_s < WINDOW_EDGE_S
            )
            if is_silent_before and is_silent_after:
                # at least a second on, or the same window would be heard again
                seek = round(max(window_start_s + 1, span.start_s) * MEL_FRAMES_PER_SECOND)
                return list(spans[:index]), content_frames if content_end_s - span.end_s < threshold_s else seek
        speech_end_s = span.end_s
    return list(spans), None


def _find_segment_with_words(spans: Sequence[SegmentWithWords]) -> SegmentWithWords | None:
    return next((span for span in spans if span.words), None)
