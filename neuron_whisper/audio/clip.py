"""AudioClip, AudioBlock, and the constants of Whisper's audio front end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # options import the constants, and the command line starts without numpy
    import numpy as np
    from numpy.typing import NDArray

SAMPLE_RATE = 16_000  # Hz; openai/whisper audio.py
HOP_SAMPLES = 160  # 10 ms
FRAMES_PER_SECOND = 100  # mel frames
FFT_SAMPLES = 400  # 25 ms
WINDOW_S = 30.0
WINDOW_SAMPLES = 480_000
WINDOW_FRAMES = 3000


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioClip:
    """Mono float32 samples at 16 kHz, about [-1, 1], with the warnings of decoding them."""

    samples: NDArray[np.float32]
    source: str = "audio"
    warnings: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        return len(self.samples) / SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class AudioBlock:
    """A part of a decoded file: samples (channels, n) at `rate` Hz, about [-1, 1]."""

    rate: int
    samples: NDArray[np.float32]


def ms_to_samples(milliseconds: float) -> int:
    """Whole samples at 16 kHz: 32 -> 512."""
    return int(milliseconds * SAMPLE_RATE / 1000)
