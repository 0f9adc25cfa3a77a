"""The voices whose padding a program keeps."""

from __future__ import annotations

import numpy as np
import pytest

from neuron_whisper.graph.padding_windows import VOICES, load_padding_windows
from neuron_whisper.target.interfaces import MIN_COMPUTED_FRAMES, MIN_COMPUTED_PADDING_FRAMES


@pytest.mark.parametrize("n_mels", [80, 128])
def test_windows_have_a_voice_and_zeros_behind_it(n_mels: int) -> None:
    windows = list(load_padding_windows(n_mels))
    assert [frames for _, frames in windows] == [frames for frames, _, _ in VOICES]
    for window, frames in windows:
        assert window.shape == (1, n_mels, 3000)
        assert window.dtype == np.float32
        assert not window[..., frames:].any()
        assert window[..., :frames].any(1).all()
        assert 0.5 < window.max() < 2


def test_padding_is_known_behind_the_shortest_window_that_is_computed() -> None:
    assert min(frames for frames, _, _ in VOICES) + MIN_COMPUTED_PADDING_FRAMES <= MIN_COMPUTED_FRAMES


def test_in_a_shorter_window_a_voice_takes_the_same_share() -> None:
    windows = list(load_padding_windows(80, 300))
    assert [frames for _, frames in windows] == [12, 29, 37, 53, 63, 108]
    assert all(window.shape == (1, 80, 300) and not window[..., frames:].any() for window, frames in windows)
