"""A window's tokens split at timestamps, and where the next window starts."""

from __future__ import annotations

import pytest

from neuron_whisper.decode.segments import split_at_timestamps

BEGIN = 1000


def at(frames: int) -> int:
    """The timestamp token of a mel frame."""
    return BEGIN + frames // 2


@pytest.mark.parametrize(
    ("tokens", "times", "advance"),
    [
        # the text after the last pair is decoded again
        ([at(0), 1, at(200), at(200), 2], [(10.0, 12.0)], 200),
        # a single timestamp at the end: the window is complete
        ([at(0), 1, at(200), at(300), 2, at(800)], [(10.0, 12.0), (13.0, 18.0)], 3000),
        # no pair: one segment, up to its last timestamp or the end of the window
        ([at(0), 1, at(500)], [(10.0, 15.0)], 3000),
        ([1, 2], [(10.0, 40.0)], 3000),
        ([at(0), 1], [(10.0, 40.0)], 3000),
        ([], [(10.0, 40.0)], 3000),
    ],
)
def test_pairs_of_timestamps_end_segments(tokens: list[int], times: list[tuple[float, float]], advance: int) -> None:
    segments, found = split_at_timestamps(tokens, BEGIN, seek_frames=1000, window_frames=3000)
    assert [(segment.start_s, segment.end_s) for segment in segments] == times
    assert found == advance


def test_segments_keep_their_tokens_and_timestamps() -> None:
    tokens = [at(0), 1, 2, at(100), at(120), 3, at(180), at(180)]
    segments, _ = split_at_timestamps(tokens, BEGIN, seek_frames=0, window_frames=3000)
    assert [segment.tokens for segment in segments] == [(at(0), 1, 2, at(100)), (at(120), 3, at(180))]
