"""Which stretches of a window have speech without text."""

from __future__ import annotations

import numpy as np
import pytest

from neuron_whisper.audio.mel import LogMel
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.longform.clip_context import ClipContext
from neuron_whisper.longform.lost_speech import find_stretches, is_uneven, list_level_runs
from neuron_whisper.transcript import Segment, SkippedRegion
from tests.support.plans import RATE, TOKENIZER, make_pauseless_map

NEAR, FAR = 0.5, 0.005  # -40 dB


def make_context(*speech: tuple[float, float, float], seconds: float = 20.0) -> ClipContext:
    """Tones at (start, end, level); the detector hears each."""
    samples = np.zeros(int(seconds * RATE), np.float32)
    for start_s, end_s, level in speech:
        times = np.arange(int(start_s * RATE), int(end_s * RATE))
        samples[times] = level * np.sin(2 * np.pi * 440 * times / RATE)
    return ClipContext(
        mel=LogMel.from_samples(samples, 80),
        options=TranscribeOptions(),
        tokenizer=TOKENIZER,
        speech_map=make_pauseless_map(*((start_s, end_s) for start_s, end_s, _ in speech)),
    )


def say(start_s: float, end_s: float, letters: int) -> Segment:
    return Segment(
        id=0,
        seek_s=0.0,
        start_s=start_s,
        end_s=end_s,
        text=" " + "a" * letters,
        tokens=(),
        temperature=0.0,
        avg_logprob=-0.2,
        compression_ratio=1.0,
        no_speech_prob=0.0,
    )


def stretches_of(clip: ClipContext, *items: Segment | SkippedRegion, end_s: float = 20.0) -> list[tuple[float, float]]:
    return [(round(it.start_s, 2), round(it.end_s, 2)) for it in find_stretches(clip, items, 0.0, end_s)]


def test_speech_changes_its_level_in_a_pause_and_small_changes_are_none() -> None:
    clip = make_context((0, 2, NEAR), (2.2, 4, 0.2), (4.2, 6, FAR), (7, 8, FAR))
    runs = list_level_runs(clip, 0.0, 20.0)
    assert [(it.start_s, it.end_s) for it in runs] == [(0, 4), (4.2, 6), (7, 8)]
    assert [it.peak for it in runs] == pytest.approx([NEAR, FAR, FAR], rel=0.01)
    assert is_uneven(runs)
    assert not is_uneven(runs[1:])
    assert not is_uneven([])


def test_text_that_is_long_enough_for_its_speech_leaves_no_stretch() -> None:
    clip = make_context((0, 8, NEAR), (9, 18, NEAR))
    assert stretches_of(clip, say(0, 8, 80), say(9, 18, 40)) == []
    assert stretches_of(clip, say(0, 7.2, 80), say(9.1, 18, 90)) == []
    assert stretches_of(clip, say(0, 8, 80), SkippedRegion(start_s=8, end_s=20, reason="vad")) == []


def test_speech_between_segments_is_a_stretch_that_begins_and_ends_in_silence() -> None:
    clip = make_context((0, 4, NEAR), (5, 11, NEAR), (12, 16, NEAR))
    assert stretches_of(clip, say(0, 4, 40), say(12, 16, 40)) == [(4.7, 11.3)]
    # the word that a segment's time cuts off is that segment's
    assert stretches_of(clip, say(0, 3.7, 40), say(12.3, 16, 40)) == [(4.7, 11.3)]
    (stretch,) = find_stretches(clip, [say(0, 4, 40), say(12, 16, 41)], 0.0, 20.0)
    assert (len(stretch.before.strip()), len(stretch.after.strip())) == (40, 41)


def test_a_segment_with_too_little_text_is_a_stretch() -> None:
    clip = make_context((0, 16, NEAR))
    assert stretches_of(clip, say(0, 16, 36)) == [(0, 16.3)]
    assert stretches_of(clip, say(0, 4, 40), say(4, 14, 20), say(14, 16, 20)) == [(4, 14)]


def test_a_segment_with_little_text_beside_speech_without_text_belongs_to_the_stretch() -> None:
    clip = make_context((0, 7, NEAR), (7.5, 13, NEAR), (13.5, 18, NEAR))
    assert stretches_of(clip, say(0, 7, 30), say(13.5, 18, 45)) == [(0, 13.3)]
    assert stretches_of(clip, say(0, 7, 70), say(13.5, 18, 45)) == [(7.2, 13.3)]
    assert stretches_of(clip, say(0, 7, 30), say(7.5, 13, 55), say(13.5, 18, 45)) == []


def test_far_speech_in_a_segment_is_lost_where_the_near_speech_alone_may_have_its_text() -> None:
    clip = make_context((0, 4, NEAR), (5, 9, FAR))
    (stretch,) = find_stretches(clip, [say(0, 9, 60)], 0.0, 10.0)
    assert (stretch.start_s, stretch.end_s, stretch.hidden_s) == (0, 9.3, 4)
    assert stretches_of(clip, say(0, 9, 120)) == []  # more than near speech has
    assert stretches_of(make_context((0, 4, NEAR), (5, 9, 0.1)), say(0, 9, 60)) == []
    assert stretches_of(make_context((0, 4, NEAR), (5, 5.9, FAR)), say(0, 6, 60)) == []


def test_far_speech_that_was_taken_for_silence_is_lost() -> None:
    silence = SkippedRegion(start_s=4.5, end_s=9.0, reason="no_speech_threshold", text="you")
    assert stretches_of(make_context((0, 4, NEAR), (5, 9, FAR)), say(0, 4, 40), silence) == [(4.7, 9.3)]
    assert stretches_of(make_context((0, 4, NEAR), (5, 9, NEAR)), say(0, 4, 40), silence) == []
    assert stretches_of(make_context((0, 4, NEAR), (5, 5.5, FAR)), say(0, 4, 40), silence) == []
