"""Builds a timeline of recordings with non-speech between them, and measures a system's times against it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.audio.clip import SAMPLE_RATE

Samples = NDArray[np.float32]
CHORD_HZ = (262.0, 330.0, 392.0, 523.0)
FADE_S = 0.05
MIN_INSIDE_SHARE = 0.5  # a segment with less of it inside clips is text of a gap


def make_silence(n: int, random: np.random.Generator) -> Samples:
    return np.zeros(n, np.float32)


def make_white_noise(n: int, random: np.random.Generator) -> Samples:
    return (0.1 * random.standard_normal(n)).astype(np.float32)


def make_pink_noise(n: int, random: np.random.Generator) -> Samples:
    """Power falls with the frequency; as loud as the white one."""
    spectrum = np.fft.rfft(random.standard_normal(n)) / np.sqrt(np.maximum(1, np.arange(n // 2 + 1)))
    made: NDArray[np.float64] = np.fft.irfft(spectrum, n)
    loud: Samples = (0.1 * made / max(float(made.std()), 1e-9)).astype(np.float32)
    return loud


def make_tone(n: int, random: np.random.Generator) -> Samples:
    made: Samples = (0.3 * np.sin(2 * np.pi * 440 * np.arange(n) / SAMPLE_RATE)).astype(np.float32)
    return made


def make_chords(n: int, random: np.random.Generator) -> Samples:
    """Four notes with overtones, two seconds on and two off, as an organ's."""
    time = np.arange(n) / SAMPLE_RATE
    notes = sum(np.sin(2 * np.pi * k * hz * time) / k for hz in CHORD_HZ for k in (1, 2, 3))
    made: Samples = (0.05 * np.asarray(notes) * (np.sin(2 * np.pi * time / 4) > 0)).astype(np.float32)
    return made


def make_breaths(n: int, random: np.random.Generator) -> Samples:
    """Noise that swells every three seconds."""
    swell = np.maximum(0, np.sin(2 * np.pi * np.arange(n) / SAMPLE_RATE / 3)) ** 4
    made: Samples = (0.05 * random.standard_normal(n) * swell).astype(np.float32)
    return made


SOUNDS = MappingProxyType(
    {
        "silence": make_silence,
        "white noise": make_white_noise,
        "pink noise": make_pink_noise,
        "tone": make_tone,
        "chords": make_chords,
        "breaths": make_breaths,
    }
)
"""What is not speech: (n samples, random) -> samples."""

GAP_SOUNDS = ("silence", "white noise", "pink noise", "chords", "breaths")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedClip:
    """A clip on the timeline, in seconds."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """`clips` in order, with something else before, between and behind them."""

    samples: Samples
    clips: tuple[PlacedClip, ...]

    @property
    def reference(self) -> str:
        return " ".join(clip.text for clip in self.clips)


def build_timeline(
    clips: Sequence[tuple[Samples, str]], *, seconds: float, gap_s: tuple[float, float], seed: int = 0
) -> Timeline:
    """At least `seconds` of (samples, text) in seeded random order, each whole, gaps of `gap_s` between them."""
    random = np.random.default_rng(seed)
    parts: list[Samples] = []
    placed: list[PlacedClip] = []
    length = 0
    order: list[int] = []
    while length < seconds * SAMPLE_RATE:
        order = order or random.permutation(len(clips)).tolist()
        samples, text = clips[order.pop()]
        gap = _make_gap(random, gap_s)
        start_s = (length + len(gap)) / SAMPLE_RATE
        parts += [gap, samples]
        placed.append(PlacedClip(start_s=start_s, end_s=start_s + len(samples) / SAMPLE_RATE, text=text))
        length += len(gap) + len(samples)
    parts.append(_make_gap(random, gap_s))
    return Timeline(samples=np.concatenate(parts), clips=tuple(placed))


def _make_gap(random: np.random.Generator, gap_s: tuple[float, float]) -> Samples:
    n = int(random.uniform(*gap_s) * SAMPLE_RATE)
    sound = SOUNDS[GAP_SOUNDS[int(random.integers(len(GAP_SOUNDS)))]](n, random) * np.float32(random.uniform(0.05, 1))
    at = np.arange(n) / SAMPLE_RATE
    faded: Samples = (sound * np.minimum(1.0, np.minimum(at, at[::-1]) / FADE_S)).astype(np.float32)
    return faded


@dataclass(frozen=True, slots=True, kw_only=True)
class TimingErrors:
    """Errors of segments' times. `outside_s`: how far each start and end lies outside the nearest clip, 0 inside it.

    `gap_texts` are texts of segments that lie mostly in a gap; `n_across_clips` counts those with more than one clip.
    """

    outside_s: tuple[float, ...]
    gap_texts: tuple[str, ...]
    n_across_clips: int


def measure_timing(timeline: Timeline, segments: Sequence[tuple[float, float, str]]) -> TimingErrors:
    outside: list[float] = []
    unspoken: list[str] = []
    across = 0
    for start_s, end_s, text in segments:
        inside_s = sum(b - a for a, b in _find_overlaps(timeline, start_s, end_s))
        if end_s - start_s > 0 and inside_s < MIN_INSIDE_SHARE * (end_s - start_s):
            unspoken.append(text.strip())
        across += sum(1 for _ in _find_overlaps(timeline, start_s, end_s)) > 1
        outside += [_distance_to_clip(timeline, start_s), _distance_to_clip(timeline, end_s)]
    return TimingErrors(outside_s=tuple(outside), gap_texts=tuple(unspoken), n_across_clips=across)


def _find_overlaps(timeline: Timeline, start_s: float, end_s: float) -> Iterator[tuple[float, float]]:
    for clip in timeline.clips:
        a, b = max(start_s, clip.start_s), min(end_s, clip.end_s)
        if a < b:
            yield a, b


def _distance_to_clip(timeline: Timeline, second: float) -> float:
    """To the clip nearest to it; 0 inside one."""
    after = bisect_right(timeline.clips, second, key=lambda clip: clip.start_s)
    near = timeline.clips[max(0, after - 1) : after + 1]
    return min(max(clip.start_s - second, second - clip.end_s, 0.0) for clip in near)


def summarize(errors: TimingErrors) -> Mapping[str, float]:
    """Share of starts and ends within 0.3 s of a clip, the largest distance, segments across clips, words unspoken."""
    outside = np.array(errors.outside_s or (0.0,))
    return {
        "within_300ms": float((outside <= 0.3).mean()),
        "max_outside_s": float(outside.max()),
        "across_clips": errors.n_across_clips,
        "gap_words": sum(len(text.split()) for text in errors.gap_texts),
    }
