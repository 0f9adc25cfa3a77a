"""Splits a window's tokens into segments and finds where the next window starts.

Follows openai/whisper transcribe.py. Positions are mel frames (10 ms) from the clip's start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neuron_whisper.audio.clip import FRAMES_PER_SECOND
from neuron_whisper.text.special_tokens import TIMESTAMP_STEP_S

FRAMES_PER_TIMESTAMP = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentTokens:
    """The tokens of one segment, timestamps included, and its times in seconds from the clip's start."""

    start_s: float
    end_s: float
    tokens: tuple[int, ...]


def split_at_timestamps(
    tokens: Sequence[int], timestamp_begin: int, *, seek_frames: int, window_frames: int
) -> tuple[list[SegmentTokens], int]:
    """Returns (segments, frames to advance) of a window at `seek_frames` that holds `window_frames` of audio.

    A pair of timestamps ends a segment. The next window starts at the last pair, or after this window if the tokens
    end in a single timestamp or hold no pair.
    """
    offset_s = seek_frames / FRAMES_PER_SECOND
    is_time = [token >= timestamp_begin for token in tokens]
    cuts = [i for i in range(1, len(tokens)) if is_time[i] and is_time[i - 1]]
    ends_in_single = is_time[-2:] == [False, True]

    def seconds(token: int) -> float:
        return (token - timestamp_begin) * TIMESTAMP_STEP_S

    if not cuts:
        duration_s = window_frames / FRAMES_PER_SECOND
        times = [token for token in tokens if token >= timestamp_begin]
        if times and times[-1] != timestamp_begin:
            duration_s = seconds(times[-1])
        return [SegmentTokens(start_s=offset_s, end_s=offset_s + duration_s, tokens=tuple(tokens))], window_frames

    if ends_in_single:
        cuts.append(len(tokens))
    segments = []
    start = 0
    for cut in cuts:
        piece = tuple(tokens[start:cut])
        segments.append(
            SegmentTokens(start_s=offset_s + seconds(piece[0]), end_s=offset_s + seconds(piece[-1]), tokens=piece)
        )
        start = cut
    if ends_in_single:
        return segments, window_frames
    # text after the last pair is left out: the next window decodes it whole
    return segments, (tokens[start - 1] - timestamp_begin) * FRAMES_PER_TIMESTAMP
