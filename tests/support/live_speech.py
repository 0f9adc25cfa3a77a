"""Synthetic speech, a voice detector for it, and decoding results for the windows of a live session."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.live import LiveOptions, LiveStateMachine
from neuron_whisper.text.special_tokens import N_TIMESTAMPS, SpecialTokens
from neuron_whisper.text.tokenizer import BYTE_TO_UNICODE, Tokenizer

RATE = 16_000
SPECIAL = SpecialTokens.from_layout(eot=256, n_languages=5, blank=ord(" "), is_multilingual=True)
TOKENIZER = Tokenizer({BYTE_TO_UNICODE[byte]: byte for byte in range(256)}, [], SPECIAL)
"""Its text tokens are bytes."""


class LoudnessVad:
    """A voice detector that takes every loud chunk for speech."""

    def __init__(self) -> None:
        self._unread = np.empty(0, np.float32)

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        samples = np.concatenate([self._unread, samples])
        end = len(samples) // 512 * 512
        self._unread = samples[end:]
        peaks: NDArray[np.float32] = np.abs(samples[:end]).reshape(-1, 512).max(axis=1)
        return (peaks > 0.05).astype(np.float32)


def rising_tone(seconds: float) -> NDArray[np.float32]:
    """A tone of rising pitch, so that no two windows of it are equal."""
    t = np.arange(int(seconds * RATE)) / RATE
    return np.asarray(0.2 * np.sin(2 * np.pi * (200 + 20 * t) * t), np.float32)


def silence(seconds: float) -> NDArray[np.float32]:
    return np.zeros(int(seconds * RATE), np.float32)


def speech_and_silence(*seconds: float) -> NDArray[np.float32]:
    """Speech and silence in turn: (1, 2, 1) is a second of speech, two of silence, one of speech."""
    return np.concatenate([(silence if n % 2 else rising_tone)(length) for n, length in enumerate(seconds)])


def pcm16(samples: NDArray[np.float32]) -> bytes:
    return (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()


def make_state_machine(options: LiveOptions | None = None) -> LiveStateMachine:
    return LiveStateMachine(options or LiveOptions(), TOKENIZER, LoudnessVad(), n_mels=80, max_prefix_tokens=200)


def derive_text(request: WindowRequest) -> str:
    """Five words derived from the spectrogram of the window, so that equal windows have equal texts."""
    digest = zlib.crc32(request.mel.tobytes())
    return "".join(f" {chr(97 + digest % 13)}{chr(97 + digest // 13**n % 26)}" for n in range(5))


def make_decoding_result(text: str, *, until_s: float | None = None, language: str | None = "en") -> DecodingResult:
    """The result of a window with this text; with `until_s`, between timestamps that end there."""
    tokens: Sequence[int] = TOKENIZER.encode(text)
    if until_s is not None:
        assert 0 < until_s <= (N_TIMESTAMPS - 1) * 0.02
        begin = SPECIAL.timestamp_begin
        tokens = [begin, *tokens, begin + round(until_s / 0.02)]
    return DecodingResult(
        tokens=tuple(tokens),
        text=text.strip(),
        avg_logprob=-0.2,
        no_speech_prob=0.0,
        compression_ratio=1.0,
        temperature=0.0,
        language=language,
        language_probs={"en": 1.0},
        token_logprobs=(-0.1,) * len(tokens),
    )
