"""The log-mel front end: scale, floor, edges, blocks and windows. tests/parity has openai-whisper's beside it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuron_whisper.audio.mel import LogMel, hz_to_mel, log_mel, pad_or_trim, window_mel
from neuron_whisper.errors import InvalidOption
from tests.support.signals import noise


@pytest.mark.parametrize(("hz", "mel"), [(0.0, 0.0), (500.0, 7.5), (1000.0, 15.0), (6400.0, 42.0)])
def test_the_mel_scale_is_linear_to_1_khz_and_logarithmic_above(hz: float, mel: float) -> None:
    assert hz_to_mel(hz) == pytest.approx(mel, abs=1e-12)


@pytest.mark.parametrize("n_mels", [0, 64, 81])
def test_a_mel_count_that_no_whisper_model_has_is_refused(n_mels: int) -> None:
    with pytest.raises(InvalidOption, match="it is 80 or 128") as refused:
        log_mel(noise(1), n_mels)
    assert (refused.value.field, refused.value.value) == ("n_mels", n_mels)


@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (1, 0), (159, 0), (160, 1), (200, 1), (320, 2)])
def test_a_clip_shorter_than_the_mirrored_edge_has_its_whole_frames(samples: int, frames: int) -> None:
    mel = log_mel(noise(1)[:samples], 80)
    assert mel.shape == (80, frames)
    assert np.isfinite(mel).all()


def test_silence_is_minus_one_and_a_half_everywhere() -> None:
    # log10 of the floor 1e-10 is -10; (-10 + 4) / 4
    np.testing.assert_allclose(log_mel(np.zeros(1600, np.float32), 80), np.full((80, 10), -1.5), atol=1e-6)


def test_a_tone_is_loudest_in_the_filter_around_it() -> None:
    tone = np.sin(2 * np.pi * 1000.0 * np.arange(16000) / 16000).astype(np.float32)
    centre_mels = np.linspace(0.0, hz_to_mel(8000.0), 82)[1:-1]
    nearest = int(np.abs(centre_mels - 15.0).argmin())
    assert set(log_mel(tone, 80)[:, 2:-2].argmax(axis=0).tolist()) == {nearest}


def test_the_floor_is_set_by_the_loudest_sound_of_the_whole_clip() -> None:
    quiet_then_loud = np.concatenate([noise(1) * 1e-4, noise(1) * 10])
    mel = log_mel(quiet_then_loud, 80)
    assert mel.min() == pytest.approx(mel.max() - 8.0 / 4.0, abs=1e-6)


def test_blocks_leave_no_seam() -> None:
    x = noise(25)
    whole, later = log_mel(x, 80), log_mel(x[160 * 700 :], 80)
    # away from the mirrored edges, and with one loudness for both, a frame does not know where blocks begin
    np.testing.assert_allclose(whole[:, 705:2490], later[:, 5:1790], atol=1e-5)


def test_the_samples_are_left_as_they_are() -> None:
    x = noise(1)
    before = x.copy()
    log_mel(x, 80, padding=480_000)
    np.testing.assert_array_equal(x, before)


def test_a_window_may_end_before_it_is_full() -> None:
    mel = LogMel.from_samples(noise(40), 80)
    window = mel.cut_window(100, 300)
    np.testing.assert_allclose(window[:, :200], mel.cut_window(0)[:, 100:300], atol=1e-6)
    assert not window[:, 200:].any()


def test_frames_of_a_part_of_a_clip_are_counted_from_the_clips_start() -> None:
    x = noise(8)
    part = LogMel.from_samples(x[3 * 16_000 : 6 * 16_000], 80, first_frame=300)
    assert part.content_frames == 600
    np.testing.assert_array_equal(
        part.cut_window(300), LogMel.from_samples(x[3 * 16_000 : 6 * 16_000], 80).cut_window(0)
    )
    whole = LogMel.from_samples(x, 80).cut_window(0)
    np.testing.assert_allclose(part.cut_window(350, 500)[:, :150], whole[:, 350:500], atol=0.1)
    assert not part.cut_window(350, 500)[:, 150:].any()


@settings(max_examples=25, deadline=None)
@given(samples=st.integers(1, 70 * 16_000), start_frame=st.integers(0, 6999), n_mels=st.sampled_from((80, 128)))
def test_a_window_is_cut_from_the_spectrogram_of_the_whole_clip(samples: int, start_frame: int, n_mels: int) -> None:
    x = noise(70)[:samples] * np.linspace(1e-4, 1, samples, dtype=np.float32)
    whole = log_mel(x, n_mels, padding=480_000)
    mel = LogMel.from_samples(x, n_mels)
    start = min(start_frame, mel.content_frames)
    expected = pad_or_trim(whole[:, start : min(start + 3000, samples // 160)])
    np.testing.assert_allclose(mel.cut_window(start), expected, atol=2e-5)


def test_padding_and_trimming_keep_the_beginning() -> None:
    frames = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert pad_or_trim(frames, 2).tolist() == [[0, 1], [3, 4]]
    assert pad_or_trim(frames, 4).tolist() == [[0, 1, 2, 0], [3, 4, 5, 0]]


def test_a_single_window_is_the_clip_with_silence_behind_it() -> None:
    x = noise(2)
    assert window_mel(x, 128).shape == (128, 3000)
    np.testing.assert_array_equal(window_mel(x, 80), log_mel(x, 80, padding=448_000))
    np.testing.assert_array_equal(window_mel(noise(31), 80), log_mel(noise(31)[:480_000], 80))
