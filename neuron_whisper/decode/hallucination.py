"""Finds segments hallucinated in silence, by the length and probability of their words.

Follows openai/whisper transcribe.py, hallucination_silence_threshold.
"""

from __future__ import annotations

from collections.abc import Sequence

from neuron_whisper.audio.clip import FRAMES_PER_SECOND, WINDOW_S
from neuron_whisper.decode.options import APPEND_PUNCTUATIONS, PREPEND_PUNCTUATIONS
from neuron_whisper.decode.words import SegmentWithWords
from neuron_whisper.transcript import Word

UNLIKELY_PROBABILITY = 0.15  # a word below this is taken for a hallucination
SHORT_WORD_S = 0.133
SHORT_PENALTY_PER_S = 15.0
LONG_WORD_S = 2.0
MAX_SCORED_WORDS = 8
SEGMENT_SCORE_LIMIT = 3.0
WINDOW_EDGE_S = 2.0  # this close to an end of the window the audio beyond is unknown and taken for silence

_PUNCTUATION = PREPEND_PUNCTUATIONS + APPEND_PUNCTUATIONS


def word_anomaly_score(word: Word) -> float:
    """Scores a word: 0 for ordinary speech, higher if its probability is low or it is too short or too long."""
    length_s = word.end_s - word.start_s
    score = 1.0 if word.probability < UNLIKELY_PROBABILITY else 0.0
    if length_s < SHORT_WORD_S:
        score += (SHORT_WORD_S - length_s) * SHORT_PENALTY_PER_S
    return score + max(0.0, length_s - LONG_WORD_S)


def is_segment_anomaly(words: Sequence[Word]) -> bool:
    """Whether a segment's first words are anomalous together; False without words."""
    if not words:
        return False
    scored = [word for word in words if word.text not in _PUNCTUATION][:MAX_SCORED_WORDS]
    score = sum(map(word_anomaly_score, scored))
    return score >= SEGMENT_SCORE_LIMIT or score + 0.01 >= len(scored)


def remove_hallucinations(
    segments: Sequence[SegmentWithWords],
    *,
    threshold_s: float,
    seek_frames: int,
    window_frames: int,
    content_frames: int,
    last_speech_s: float,
) -> tuple[list[SegmentWithWords], int | None]:
    """Returns (segments to keep, next seek in mel frames or None) of a window at `seek_frames`; None: as usual.

    An anomalous segment with more than `threshold_s` of silence, or another anomaly, on both sides is removed with
    all that follow it in the window, and the next window starts there. Anomalous first words after a silence remove
    the whole window, which starts again after the silence. `window_frames` of the window are audio;
    `content_frames` is the length of the clip.
    """
    window_start_s = seek_frames / FRAMES_PER_SECOND
    window_end_s = window_start_s + WINDOW_S
    content_end_s = content_frames / FRAMES_PER_SECOND
    first = _find_segment_with_words(segments)
    if first and is_segment_anomaly(first.words):
        gap_s = first.start_s - window_start_s
        if gap_s > threshold_s:
            return [], seek_frames + round(gap_s * FRAMES_PER_SECOND)
    speech_end_s = last_speech_s
    for index, segment in enumerate(segments):
        if not segment.words:
            continue
        if is_segment_anomaly(segment.words):
            following = _find_segment_with_words(segments[index + 1 :])
            next_start_s = (
                following.words[0].start_s if following else (window_start_s + window_frames / FRAMES_PER_SECOND)
            )
            is_silent_before = (
                segment.start_s - speech_end_s > threshold_s
                or segment.start_s < threshold_s
                or segment.start_s - window_start_s < WINDOW_EDGE_S
            )
            is_silent_after = (
                next_start_s - segment.end_s > threshold_s
                or (following is not None and is_segment_anomaly(following.words))
                or window_end_s - segment.end_s < WINDOW_EDGE_S
            )
            if is_silent_before and is_silent_after:
                # at least one second further, or the same window would be decoded again
                seek = round(max(window_start_s + 1, segment.start_s) * FRAMES_PER_SECOND)
                return list(segments[:index]), content_frames if content_end_s - segment.end_s < threshold_s else seek
        speech_end_s = segment.end_s
    return list(segments), None


def _find_segment_with_words(segments: Sequence[SegmentWithWords]) -> SegmentWithWords | None:
    return next((segment for segment in segments if segment.words), None)
