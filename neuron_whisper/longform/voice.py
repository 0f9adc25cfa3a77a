"""Where a clip holds speech, asked by mel frames."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from neuron_whisper.audio.speech import SpeechSpan
from neuron_whisper.longform.plan import FRAMES_PER_S


@dataclass(frozen=True, slots=True)
class Voice:
    """Spans of speech in order, in seconds, `pad_s` of silence around each included."""

    spans: Sequence[SpeechSpan]
    pad_s: float

    def is_heard(self, start_frame: int, end_frame: int) -> bool:
        """Whether any of it, padding included, lies there."""
        start_s, end_s = start_frame / FRAMES_PER_S, end_frame / FRAMES_PER_S
        first = bisect_left(self.spans, start_s, key=lambda span: span.end_s)
        return first < len(self.spans) and self.spans[first].start_s < end_s

    def seconds(self, start_frame: int, end_frame: int) -> float:
        """How much of it, without its padding, lies there."""
        start_s, end_s = start_frame / FRAMES_PER_S, end_frame / FRAMES_PER_S
        total = 0.0
        for span in self.spans[bisect_left(self.spans, start_s, key=lambda span: span.end_s) :]:
            if span.start_s >= end_s:
                break
            total += max(0.0, min(end_s, span.end_s - self.pad_s) - max(start_s, span.start_s + self.pad_s))
        return total
