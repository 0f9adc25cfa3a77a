"""The speech spans of a clip, looked up by mel frame."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.audio.clip import FRAMES_PER_SECOND
from neuron_whisper.audio.speech import MAX_GAP_S, SpeechSpan, spans_from_probabilities
from neuron_whisper.audio.vad_options import VadOptions

PAUSE_MS = 100  # silero-vad's: a span ends at seconds of silence only, so that it may hold more of it than of speech
TRIM_MARGIN_S = 0.1  # the detector finds the start of a soft sound late and its end early


def without_pauses(vad: VadOptions) -> VadOptions:
    """The options that find `SpeechMap.pauseless_spans`."""
    return replace(vad, speech_pad_ms=0, min_speech_duration_ms=PAUSE_MS, min_silence_duration_ms=PAUSE_MS)


@dataclass(frozen=True, slots=True)
class SpeechMap:
    """Speech spans in order, in seconds, each padded by `padding_s`; `unpadded_spans` are the same without padding.

    `pauseless_spans` are without padding and without pauses longer than PAUSE_MS: what a span holds of speech.
    """

    spans: Sequence[SpeechSpan]
    padding_s: float
    unpadded_spans: Sequence[SpeechSpan] = ()
    pauseless_spans: Sequence[SpeechSpan] = ()

    @classmethod
    def from_probabilities(cls, probabilities: NDArray[np.float32], n_samples: int, vad: VadOptions) -> Self:
        """The speech of a clip of `n_samples`, from the probability of each 512 of them."""
        padded, unpadded, pauseless = (
            spans_from_probabilities(probabilities, n_samples, options)
            for options in (vad, replace(vad, speech_pad_ms=0), without_pauses(vad))
        )
        return cls(padded, vad.speech_pad_ms / 1000, unpadded, pauseless)

    def overlaps(self, start_frame: int, end_frame: int) -> bool:
        """Whether a padded span overlaps these frames."""
        start_s, end_s = start_frame / FRAMES_PER_SECOND, end_frame / FRAMES_PER_SECOND
        first = bisect_left(self.spans, start_s, key=lambda span: span.end_s)
        return first < len(self.spans) and self.spans[first].start_s < end_s

    def find_last_end(self, frame: int) -> int:
        """Finds the frame where the last span ends that has ended at `frame`; 0 where there is none."""
        after = bisect_right(self.spans, frame, key=lambda span: round(span.end_s * FRAMES_PER_SECOND))
        return round(self.spans[after - 1].end_s * FRAMES_PER_SECOND) if after else 0

    def find_speech_run(self, frame: int) -> tuple[int, int] | None:
        """Finds the frames from the first span that ends after `frame` up to a silence longer than MAX_GAP_S.

        Spans 0-4 s, 6-9 s, 20-25 s: at 1 s -> 0-9 s, at 9 s -> 20-25 s. None: there is no more speech.
        """
        at = bisect_right(self.spans, frame / FRAMES_PER_SECOND, key=lambda span: span.end_s)
        if at == len(self.spans):
            return None
        last = at
        while last + 1 < len(self.spans) and self.spans[last + 1].start_s - self.spans[last].end_s <= MAX_GAP_S:
            last += 1
        start, end = self.spans[at].start_s * FRAMES_PER_SECOND, self.spans[last].end_s * FRAMES_PER_SECOND
        return math.floor(start), max(math.ceil(end), frame + 1)

    def sum_speech_s(self, start_frame: int, end_frame: int) -> float:
        """Sums the seconds of unpadded speech in these frames."""
        start_s, end_s = start_frame / FRAMES_PER_SECOND, end_frame / FRAMES_PER_SECOND
        total = 0.0
        for span in self.spans[bisect_left(self.spans, start_s, key=lambda span: span.end_s) :]:
            if span.start_s >= end_s:
                break
            total += max(0.0, min(end_s, span.end_s - self.padding_s) - max(start_s, span.start_s + self.padding_s))
        return total

    def measure_speech(self, start_s: float, end_s: float) -> float:
        """Measures the seconds of speech between these two, without pauses; 0 without `pauseless_spans`."""
        return sum((last_s - first_s for first_s, last_s in self.list_runs(start_s, end_s)), 0.0)

    def list_runs(self, start_s: float, end_s: float) -> list[tuple[float, float]]:
        """Lists the stretches of speech between these two, in seconds, without pauses."""
        first = bisect_right(self.pauseless_spans, start_s, key=lambda span: span.end_s)
        after = bisect_left(self.pauseless_spans, end_s, key=lambda span: span.start_s)
        runs = [(max(start_s, it.start_s), min(end_s, it.end_s)) for it in self.pauseless_spans[first:after]]
        return [(first_s, last_s) for first_s, last_s in runs if first_s < last_s]

    def find_pause(self, start_s: float, end_s: float) -> float:
        """Finds the middle of the longest pause between these two; without one, the middle between them."""
        spans = [span for span in self.pauseless_spans if span.end_s > start_s and span.start_s < end_s]
        pauses = [
            (min(end_s, after.start_s) - max(start_s, before.end_s), (before.end_s + after.start_s) / 2)
            for before, after in pairwise(spans)
            if start_s < (before.end_s + after.start_s) / 2 < end_s
        ]
        return max(pauses)[1] if pauses else (start_s + end_s) / 2

    def trim_silence(self, start_s: float, end_s: float) -> tuple[float, float]:
        """Cuts silence off both ends, up to TRIM_MARGIN_S: 3.0-9.0 with speech at 3.5-8.0 -> 3.4-8.1.

        Without speech there, or without `unpadded_spans`, the times stay.
        """
        first = bisect_right(self.unpadded_spans, start_s, key=lambda span: span.end_s)
        after = bisect_left(self.unpadded_spans, end_s, key=lambda span: span.start_s)
        if first >= after:
            return start_s, end_s
        return (
            max(start_s, self.unpadded_spans[first].start_s - TRIM_MARGIN_S),
            min(end_s, self.unpadded_spans[after - 1].end_s + TRIM_MARGIN_S),
        )
