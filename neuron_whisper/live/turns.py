"""Detects where utterances begin and end, from the voice detector's probabilities. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from neuron_whisper.audio.clip import ms_to_samples
from neuron_whisper.audio.silero.network import CHUNK_SAMPLES
from neuron_whisper.audio.vad_options import HYSTERESIS, MIN_THRESHOLD
from neuron_whisper.live.options import TurnDetection


@dataclass(slots=True)
class TurnTracker:
    """Takes one probability for each 512 samples. Positions are samples from the session's first.

    `is_speaking` between a begin and its end; `silence_start` is where the present silence began, if there is one.
    """

    is_speaking: bool = False
    silence_start: int | None = None

    def detect_start(self, probability: float, options: TurnDetection) -> bool:
        """Whether the chunk is the first of an utterance."""
        if self.is_speaking or probability < max(options.threshold, MIN_THRESHOLD):
            return False
        self.is_speaking, self.silence_start = True, None
        return True

    def detect_end(self, probability: float, chunk_end: int, options: TurnDetection) -> bool:
        """Whether the silence that ends with this chunk ends the utterance."""
        if not self.is_speaking:
            return False
        threshold = max(options.threshold, MIN_THRESHOLD)
        if probability >= threshold:
            self.silence_start = None
        elif probability < max(threshold - HYSTERESIS, MIN_THRESHOLD) and self.silence_start is None:
            self.silence_start = chunk_end - CHUNK_SAMPLES
        if self.silence_start is None or chunk_end - self.silence_start < ms_to_samples(options.silence_duration_ms):
            return False
        self.is_speaking, self.silence_start = False, None
        return True

    def reset(self) -> None:
        """Returns to silence: the caller ended or discarded the utterance."""
        self.is_speaking, self.silence_start = False, None
