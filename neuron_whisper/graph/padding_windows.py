"""Short windows of real speech: a program that skips padding takes what attention finds behind them (find_padding)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.audio.clip import HOP_SAMPLES, WINDOW_FRAMES
from neuron_whisper.audio.load import load_audio
from neuron_whisper.audio.mel import LogMel, pad_or_trim

# Three readers of LibriVox, English and German, in the public domain; from pause to pause.
SPEECH_FILE = Path(__file__).with_name("padding_speech.ogg")
PIECE_FRAMES = (122, 290, 375, 530, 636, 1087)  # of the file, one behind the other


def load_padding_windows(n_mels: int, n_frames: int = WINDOW_FRAMES) -> Iterator[tuple[NDArray[np.float32], int]]:
    """Windows (1, n_mels, n_frames) and the frames of speech in each, zeros behind, as LogMel.cut_window makes them.

    Of windows shorter than 30 s, which only tests have, speech takes the same share.
    """
    samples, start = load_audio(SPEECH_FILE).samples, 0
    for frames in PIECE_FRAMES:
        piece = samples[start * HOP_SAMPLES : (start + frames) * HOP_SAMPLES]
        start += frames
        kept = frames * n_frames // WINDOW_FRAMES
        yield pad_or_trim(LogMel.from_samples(piece, n_mels).cut_window(0)[:, :kept], n_frames)[None], kept
