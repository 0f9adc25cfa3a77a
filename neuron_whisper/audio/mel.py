"""Log-mel spectrograms: samples -> (n_mels, frames), 10 ms per frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from neuron_whisper.audio.clip import FFT_SAMPLES, HOP_SAMPLES, SAMPLE_RATE, WINDOW_FRAMES, WINDOW_SAMPLES
from neuron_whisper.audio.fft import rfft
from neuron_whisper.audio.sample_buffer import release_pages
from neuron_whisper.errors import InvalidOption

SUPPORTED_N_MELS = (80, 128)  # large-v3, turbo and Kotoba have 128
BLOCK_FRAMES = 1000  # per FFT call; their spectrum fits into the processor's cache
POWER_FLOOR = 1e-10  # openai/whisper audio.py: of the power, before the logarithm
TRAILING_FRAMES = 2  # behind the content, which its last samples still reach
DYNAMIC_RANGE = 8.0  # openai/whisper audio.py: decades below the loudest bin

# The Slaney mel scale: linear to 1 kHz, then logarithmic.
LINEAR_HZ_PER_MEL = 200.0 / 3.0
LOG_FROM_HZ = 1000.0
LOG_FROM_MEL = LOG_FROM_HZ / LINEAR_HZ_PER_MEL
LOG_STEP = np.log(6.4) / 27.0


def hz_to_mel(hz: float) -> float:
    """Slaney mels: 500 -> 7.5, 1000 -> 15, 6400 -> 42."""
    if hz < LOG_FROM_HZ:
        return hz / LINEAR_HZ_PER_MEL
    return LOG_FROM_MEL + float(np.log(hz / LOG_FROM_HZ) / LOG_STEP)


def mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    logarithmic = LOG_FROM_HZ * np.exp(LOG_STEP * (mel - LOG_FROM_MEL))
    return np.where(mel < LOG_FROM_MEL, LINEAR_HZ_PER_MEL * mel, logarithmic)


@lru_cache(maxsize=2)
def mel_filters(n_mels: int) -> NDArray[np.float32]:
    """Triangular filters over the power spectrum, (n_mels, 201), each of unit area in Hz.

    The Slaney scale and normalisation, which are librosa's defaults and what Whisper was trained with.
    Raises InvalidOption when n_mels is neither 80 nor 128.
    """
    if n_mels not in SUPPORTED_N_MELS:
        raise InvalidOption("n_mels", n_mels, "it is 80 or 128 in every Whisper model")
    bins = np.linspace(0.0, SAMPLE_RATE / 2, FFT_SAMPLES // 2 + 1)
    corners = mel_to_hz(np.linspace(0.0, hz_to_mel(SAMPLE_RATE / 2), n_mels + 2))
    left, peak, right = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    triangles = np.maximum(0.0, np.minimum((bins - left) / (peak - left), (right - bins) / (right - peak)))
    filters: NDArray[np.float32] = (triangles * (2.0 / (right - left))).astype(np.float32)
    filters.setflags(write=False)  # shared by every caller
    return filters


@lru_cache(maxsize=2)
def _triangles(n_mels: int) -> tuple[tuple[slice, NDArray[np.float32]], ...]:
    """Each of mel_filters as its bins and their weights; all others are 0."""
    found = []
    for row in mel_filters(n_mels):
        inside = np.flatnonzero(row)
        bins = slice(int(inside[0]), int(inside[-1]) + 1)
        found.append((bins, row[bins]))
    return tuple(found)


def _apply_filters(power: NDArray[np.float32], n_mels: int) -> NDArray[np.float32]:
    """power (201, frames) -> (n_mels, frames).

    A product of matrices would use all cores for every block, and compete for them with running decodes.
    """
    block = np.empty((n_mels, power.shape[1]), np.float32)
    for row, (bins, weights) in zip(block, _triangles(n_mels), strict=True):
        np.einsum("k,kt->t", weights, power[bins], out=row)
    return block


@lru_cache(maxsize=1)
def _hann_window() -> NDArray[np.float32]:
    """Periodic, as torch.hann_window."""
    turns = np.arange(FFT_SAMPLES) / FFT_SAMPLES
    return (0.5 - 0.5 * np.cos(2.0 * np.pi * turns)).astype(np.float32)


def log_mel(samples: NDArray[np.float32], n_mels: int, *, padding: int = 0) -> NDArray[np.float32]:
    """Log-mel spectrogram of the whole signal, (n_mels, (len(samples) + padding) // 160), about [-1, 1].

    Follows openai/whisper audio.py log_mel_spectrogram: `padding` zeros are appended, the ends are reflected,
    the last STFT frame is dropped, and values more than 8 decades below the loudest bin *of the whole signal* are
    raised to there. Works in blocks: memory is the result, a copy of the samples and a few MB.
    Raises InvalidOption when n_mels is neither 80 nor 128.
    """
    frames = (len(samples) + padding) // HOP_SAMPLES
    log10 = _log10_mel(_pad_reflect(samples, padding), n_mels, frames)
    return _normalize(log10, float(log10.max())) if frames else log10


def _log10_mel(padded: NDArray[np.float32], n_mels: int, frames: int) -> NDArray[np.float32]:
    """log10 of the mel bins of `frames` frames, the first of them at the first sample: (n_mels, frames)."""
    mel = np.empty((n_mels, frames), np.float32)
    if not frames:
        return mel
    pieces = sliding_window_view(padded, FFT_SAMPLES)[::HOP_SAMPLES]  # (at least frames, 400)
    for start in range(0, frames, BLOCK_FRAMES):
        end = min(start + BLOCK_FRAMES, frames)
        spectrum = rfft(pieces[start:end] * _hann_window())  # (block, 201)
        power = np.ascontiguousarray((spectrum.real**2 + spectrum.imag**2).T)
        block = _apply_filters(power, n_mels)
        np.maximum(block, POWER_FLOOR, out=block)
        np.log10(block, out=mel[:, start:end])
    return mel


def _normalize(log10: NDArray[np.float32], max_log10: float) -> NDArray[np.float32]:
    """Raise values far below the loudest bin to DYNAMIC_RANGE below it, then scale to about [-1, 1]."""
    raised: NDArray[np.float32] = np.maximum(log10, np.float32(max_log10 - DYNAMIC_RANGE))
    raised += 4.0
    raised /= 4.0
    return raised


def _pad_reflect(samples: NDArray[np.float32], zeros: int) -> NDArray[np.float32]:
    """The samples and the zeros, with 200 samples mirrored at both ends, in one copy.

    A signal too short to be mirrored, which torch's STFT refuses, gets silence behind it; it has at most one frame.
    """
    edge = FFT_SAMPLES // 2
    padded = np.zeros(max(len(samples) + zeros, edge + 1) + 2 * edge, np.float32)
    padded[edge : edge + len(samples)] = samples
    padded[:edge] = padded[2 * edge : edge : -1]
    padded[-edge:] = padded[-edge - 2 : -2 * edge - 2 : -1]
    return padded


@dataclass(frozen=True, slots=True, kw_only=True)
class LogMel:
    """The spectrogram of a clip, computed window by window: hours need no more memory than a minute.

    The clip has `content_frames`. `max_log10` is the largest log10 of any bin of the whole clip, from which the
    floor of every window follows; a pass to find it takes about a ten-thousandth of the clip's duration.
    `first_frame`: the samples are a part of a clip, from this frame of it on, and frames are counted from its start.
    """

    samples: NDArray[np.float32]
    n_mels: int
    max_log10: float
    content_frames: int
    cached_log10: NDArray[np.float32] | None = None  # of a short clip, whose only window is then not computed twice
    first_frame: int = 0

    @classmethod
    def from_samples(cls, samples: NDArray[np.float32], n_mels: int, *, first_frame: int = 0) -> LogMel:
        """As if with 30 s of silence appended, as openai/whisper transcribe.py does.

        Raises InvalidOption when n_mels is neither 80 nor 128.
        """
        content_frames = len(samples) // HOP_SAMPLES
        max_log10 = float(np.log10(POWER_FLOOR))  # of the silence behind the clip
        log10 = None
        for start in range(0, content_frames + TRAILING_FRAMES, WINDOW_FRAMES):
            end = min(start + WINDOW_FRAMES, content_frames + TRAILING_FRAMES)
            log10 = _log10_frames(samples, n_mels, start, end)
            max_log10 = max(max_log10, float(log10.max()))
            release_pages(samples, end * HOP_SAMPLES)
        return cls(
            samples=samples,
            n_mels=n_mels,
            max_log10=max_log10,
            content_frames=first_frame + content_frames,
            cached_log10=log10 if content_frames + TRAILING_FRAMES <= WINDOW_FRAMES else None,
            first_frame=first_frame,
        )

    def cut_window(self, start: int, end: int | None = None) -> NDArray[np.float32]:
        """Frames `start` to `end` (at most 3000, never beyond the content), (n_mels, 3000), zeros behind.

        The zeros come after the logarithm, as in openai/whisper transcribe.py.
        """
        limit = min(start + WINDOW_FRAMES, self.content_frames)
        end = limit if end is None else min(end, limit)
        start, end = start - self.first_frame, end - self.first_frame
        log10 = (
            _log10_frames(self.samples, self.n_mels, start, end)
            if self.cached_log10 is None
            else self.cached_log10[:, start:end]
        )
        release_pages(self.samples, end * HOP_SAMPLES)
        return pad_or_trim(_normalize(log10, self.max_log10))


def _log10_frames(samples: NDArray[np.float32], n_mels: int, start: int, end: int) -> NDArray[np.float32]:
    """Frames `start` to `end` of log_mel before its normalisation, with silence behind the samples: (n_mels, n)."""
    edge = FFT_SAMPLES // 2
    first, last = start * HOP_SAMPLES - edge, (end - 1) * HOP_SAMPLES + edge
    padded = np.zeros(max(last - first, 0), np.float32)
    piece = samples[max(first, 0) : max(last, 0)]
    padded[max(-first, 0) :][: len(piece)] = piece
    if first < 0 and len(padded) > 2 * edge:  # the clip begins with its own mirror image
        padded[:-first] = padded[-2 * first : -first : -1]
    return _log10_mel(padded, n_mels, max(end - start, 0))


def pad_or_trim(mel: NDArray[np.float32], frames: int = WINDOW_FRAMES) -> NDArray[np.float32]:
    """(n_mels, any) -> (n_mels, frames), contiguous, cut or with zeros behind."""
    fitted = np.zeros((mel.shape[0], frames), np.float32)
    kept = min(frames, mel.shape[1])
    fitted[:, :kept] = mel[:, :kept]
    return fitted


def window_mel(samples: NDArray[np.float32], n_mels: int) -> NDArray[np.float32]:
    """One 30 s window by itself, (n_mels, 3000): the samples are cut or padded with silence first."""
    window = samples[:WINDOW_SAMPLES]
    return log_mel(window, n_mels, padding=WINDOW_SAMPLES - len(window))
