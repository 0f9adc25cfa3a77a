"""Where a clip holds speech, asked by mel frames."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from neuron_whisper.audio.speech import MAX_GAP_S, SpeechSpan
from neuron_whisper.longform.plan import FRAMES_PER_S

TRIM_MARGIN_S = 0.1  # the detector hears a soft sound late, and forgets one early


@dataclass(frozen=True, slots=True)
class SpeechMap:
    """Spans of speech in order, in seconds, `padding_s` of silence around each included; `unpadded_spans` are the
    same without it."""

    spans: Sequence[SpeechSpan]
    padding_s: float
    unpadded_spans: Sequence[SpeechSpan] = ()

    def overlaps(self, start_frame: int, end_frame: int) -> bool:
        """Whether any of it, padding included, lies there."""
        start_s, end_s = start_frame / FRAMES_PER_S, end_frame / FRAMES_PER_S
        first = bisect_left(self.spans, start_s, key=lambda span: span.end_s)
        return first < len(self.spans) and self.spans[first].start_s < end_s

    def find_speech_run(self, frame: int) -> tuple[int, int] | None:
        """Frames of speech from the first span that ends behind `frame`, up to a silence longer than MAX_GAP_S.

        0-4 s, 6-9 s, 20-25 s: from 1 s on 0-9 s, from 9 s on 20-25 s; None: nobody speaks any more.
        """
        at = bisect_right(self.spans, frame / FRAMES_PER_S, key=lambda span: span.end_s)
        if at == len(self.spans):
            return None
        last = at
        while last + 1 < len(self.spans) and self.spans[last + 1].start_s - self.spans[last].end_s <= MAX_GAP_S:
            last += 1
        start, end = self.spans[at].start_s * FRAMES_PER_S, self.spans[last].end_s * FRAMES_PER_S
        return math.floor(start), max(math.ceil(end), frame + 1)

    def sum_speech_s(self, start_frame: int, end_frame: int) -> float:
        """How much of it, without its padding, lies there."""
        start_s, end_s = start_frame / FRAMES_PER_S, end_frame / FRAMES_PER_S
        total = 0.0
        for span in self.spans[bisect_left(self.spans, start_s, key=lambda span: span.end_s) :]:
            if span.start_s >= end_s:
                break
            total += max(0.0, min(end_s, span.end_s - self.padding_s) - max(start_s, span.start_s + self.padding_s))
        return total

    def trim_silence(self, start_s: float, end_s: float) -> tuple[float, float]:
        """A stretch without the silence at its ends, but for TRIM_MARGIN_S: 3.0-9.0 with speech at 3.5-8.0 -> 3.4-8.1.

        Where it holds no speech, or `unpadded_spans` is not known, it stays what it is.
        """
        first = bisect_right(self.unpadded_spans, start_s, key=lambda span: span.end_s)
        after = bisect_left(self.unpadded_spans, end_s, key=lambda span: span.start_s)
        if first >= after:
            return start_s, end_s
        return (
            max(start_s, self.unpadded_spans[first].start_s - TRIM_MARGIN_S),
            min(end_s, self.unpadded_spans[after - 1].end_s + TRIM_MARGIN_S),
        )
