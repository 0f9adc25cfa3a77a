"""Voice activity detection: the spans of a clip with speech, and windows of at most 30 s that contain whole spans."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.audio.clip import SAMPLE_RATE, WINDOW_S, AudioClip, ms_to_samples
from neuron_whisper.audio.silero.network import CHUNK_SAMPLES, speech_probabilities
from neuron_whisper.audio.vad_options import VadOptions
from neuron_whisper.errors import InvalidOption

__all__ = [
    "BATCHED_VAD",
    "SILERO_VAD",
    "SpeechSpan",
    "SpeechWindow",
    "detect_speech_spans",
    "merge_into_windows",
    "spans_from_probabilities",
    "speech_probabilities",
]

MAX_GAP_S = 3.0  # in a longer silence inside a window Whisper hallucinates text


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechSpan:
    """Samples `start_sample` to `end_sample` (exclusive) of a clip at 16 kHz; never empty."""

    start_sample: int
    end_sample: int

    @property
    def start_s(self) -> float:
        return self.start_sample / SAMPLE_RATE

    @property
    def end_s(self) -> float:
        return self.end_sample / SAMPLE_RATE

    @property
    def duration_s(self) -> float:
        return (self.end_sample - self.start_sample) / SAMPLE_RATE


SILERO_VAD = VadOptions(min_speech_duration_ms=250, min_silence_duration_ms=100, speech_pad_ms=30)
BATCHED_VAD = VadOptions(
    min_speech_duration_ms=0, max_speech_duration_s=WINDOW_S, min_silence_duration_ms=160
)  # faster-whisper, batched


# --- spans ------------------------------------------------------------------------------------


def detect_speech_spans(audio: AudioClip | NDArray[np.float32], options: VadOptions | None = None) -> list[SpeechSpan]:
    """The spans of a clip, or of mono samples at 16 kHz, with speech: in order, disjoint, inside the clip.

    Raises CheckpointError when Silero's weights are not installed.
    """
    samples = audio.samples if isinstance(audio, AudioClip) else audio
    return spans_from_probabilities(speech_probabilities(samples), len(samples), options)


def spans_from_probabilities(
    probabilities: NDArray[np.float32], n_samples: int, options: VadOptions | None = None
) -> list[SpeechSpan]:
    """The spans of a clip of `n_samples`, from the probability of each 512 of them."""
    options = options or VadOptions()
    pad = ms_to_samples(options.speech_pad_ms)
    unpadded = _detect_spans(probabilities.tolist(), n_samples, options)
    starts, ends = [start for start, _ in unpadded], [end for _, end in unpadded]
    # neighbours share the gap between them where it is shorter than both paddings
    padding = [min(pad, (start - end) // 2) for (_, end), (start, _) in pairwise(unpadded)]
    if unpadded:
        before, after = [min(pad, starts[0]), *padding], [*padding, min(pad, n_samples - ends[-1])]
        starts = [start - by for start, by in zip(starts, before, strict=True)]
        ends = [end + by for end, by in zip(ends, after, strict=True)]
    return [SpeechSpan(start_sample=start, end_sample=end) for start, end in zip(starts, ends, strict=True)]


def _detect_spans(probabilities: list[float], n_samples: int, options: VadOptions) -> list[tuple[int, int]]:
    """(start, end) of speech in samples, before padding.

    Follows silero-vad get_speech_timestamps, except where a span grows too long: here the pauses after the split can
    still be split in, an ongoing silence is kept, and so is the chunk at which speech itself is split.
    """
    speech_from, silence_below = options.threshold, options.silence_threshold
    min_speech, min_silence = (
        ms_to_samples(options.min_speech_duration_ms),
        ms_to_samples(options.min_silence_duration_ms),
    )
    min_pause = ms_to_samples(options.min_silence_at_max_speech)
    # longer by one chunk, in which that is noticed, and by the padding, it would exceed max_speech_duration_s
    longest = options.max_speech_duration_s * SAMPLE_RATE - CHUNK_SAMPLES - 2 * ms_to_samples(options.speech_pad_ms)
    spans: list[tuple[int, int]] = []
    pauses: list[tuple[int, int]] = []  # inside the present span, each with speech behind it
    start: int | None = None  # of the present span
    silent_from: int | None = None  # of the ongoing silence inside it
    for at, probability in zip(range(0, n_samples, CHUNK_SAMPLES), probabilities, strict=True):
        if probability >= speech_from:
            if start is None:
                start = at
            if silent_from is not None and at - silent_from > min_pause:
                pauses.append((silent_from, at))
            silent_from = None
        if start is None:
            continue
        if probability < silence_below and silent_from is None:
            silent_from = at
        if at - start > longest:
            if pauses:
                end, resumed = max(pauses, key=lambda pause: pause[1] - pause[0])
                spans.append((start, end))
                start = resumed
                pauses = [pause for pause in pauses if pause[0] > resumed]
            else:
                spans.append((start, at if silent_from is None else silent_from))
                start, silent_from = at if silent_from is None else None, None
                continue
        if probability < silence_below and silent_from is not None and at - silent_from >= min_silence:
            if silent_from - start > min_speech:
                spans.append((start, silent_from))
            start, silent_from = None, None
            pauses.clear()
    if start is not None and n_samples - start > min_speech:
        spans.append((start, n_samples))
    return spans


# --- windows ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechWindow:
    """A region of a clip, from the start of its first span to the end of its last one, with the silences between."""

    spans: tuple[SpeechSpan, ...]

    @property
    def start_sample(self) -> int:
        return self.spans[0].start_sample

    @property
    def end_sample(self) -> int:
        return self.spans[-1].end_sample

    @property
    def start_s(self) -> float:
        return self.spans[0].start_s

    @property
    def end_s(self) -> float:
        return self.spans[-1].end_s

    @property
    def duration_s(self) -> float:
        return (self.end_sample - self.start_sample) / SAMPLE_RATE


def merge_into_windows(
    spans: Iterable[SpeechSpan], window_s: float = WINDOW_S, *, max_gap_s: float = MAX_GAP_S
) -> list[SpeechWindow]:
    """Merge spans, which are in order and disjoint, into as few windows of at most `window_s` as possible.

    Each span is whole in one window, and a gap longer than `max_gap_s` in none: 0-9 s, 10-19 s, 26-29 s ->
    0-19 s, 26-29 s.
    Raises InvalidOption when a span is longer than a window.
    """
    longest, widest_gap = window_s * SAMPLE_RATE, max_gap_s * SAMPLE_RATE
    windows: list[list[SpeechSpan]] = []
    for span in spans:
        if span.end_sample - span.start_sample > longest:
            allowed = f"the span at {span.start_s:.2f} s is {span.duration_s:.2f} s long; see max_speech_duration_s"
            raise InvalidOption("window_s", window_s, allowed)
        window = windows[-1] if windows else []
        if window and (
            span.end_sample - window[0].start_sample <= longest
            and span.start_sample - window[-1].end_sample <= widest_gap
        ):
            window.append(span)
        else:
            windows.append([span])
    return [SpeechWindow(spans=tuple(window)) for window in windows]
