"""Short windows of a voice: a program that skips padding takes what attention finds behind them (find_padding)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.audio.clip import FRAMES_PER_SECOND, WINDOW_FRAMES
from neuron_whisper.audio.mel import LogMel, pad_or_trim
from neuron_whisper.audio.synthetic_voice import sing

# Frames of voice, its pitch and its syllables a second: low and high voices, slow and fast ones.
VOICES = (
    (122, 110.0, 3.0),
    (290, 210.0, 4.0),
    (375, 130.0, 5.0),
    (530, 180.0, 3.5),
    (636, 95.0, 4.5),
    (1087, 240.0, 3.0),
)


def load_padding_windows(n_mels: int, n_frames: int = WINDOW_FRAMES) -> Iterator[tuple[NDArray[np.float32], int]]:
    """Windows (1, n_mels, n_frames) and the frames of voice in each, zeros behind, as LogMel.cut_window makes them.

    Of windows shorter than 30 s, which only tests have, the voice takes the same share.
    """
    for frames, pitch_hz, syllables_hz in VOICES:
        samples = sing(frames / FRAMES_PER_SECOND, pitch_hz, syllables_hz)
        kept = frames * n_frames // WINDOW_FRAMES
        yield pad_or_trim(LogMel.from_samples(samples, n_mels).cut_window(0)[:, :kept], n_frames)[None], kept
