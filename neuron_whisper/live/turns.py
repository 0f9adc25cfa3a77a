"""Where utterances begin and end, from the voice detector's probabilities as they come. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from neuron_whisper.audio.clip import SAMPLE_RATE
from neuron_whisper.audio.silero import CHUNK_SAMPLES
from neuron_whisper.audio.speech import HYSTERESIS, LOWEST_THRESHOLD
from neuron_whisper.live.options import TurnDetection


@dataclass(slots=True)
class TurnTracker:
    """Fed one probability for each 512 samples. Positions are samples from the session's first.

    `is_speaking` between a begin and its end; `silent_from` is where the present silence began, if there is one.
    """

    is_speaking: bool = False
    silent_from: int | None = None

    def begins(self, probability: float, turns: TurnDetection) -> bool:
        """Whether the chunk is the first of an utterance."""
        if self.is_speaking or probability < max(turns.threshold, LOWEST_THRESHOLD):
            return False
        self.is_speaking, self.silent_from = True, None
        return True

    def ends(self, probability: float, chunk_end: int, turns: TurnDetection) -> bool:
        """Whether the silence that ends with this chunk ends the utterance."""
        if not self.is_speaking:
            return False
        threshold = max(turns.threshold, LOWEST_THRESHOLD)
        if probability >= threshold:
            self.silent_from = None
        elif probability < max(threshold - HYSTERESIS, LOWEST_THRESHOLD) and self.silent_from is None:
            self.silent_from = chunk_end - CHUNK_SAMPLES
        if self.silent_from is None or chunk_end - self.silent_from < samples_of_ms(turns.silence_duration_ms):
            return False
        self.is_speaking, self.silent_from = False, None
        return True

    def reset(self) -> None:
        """Nobody speaks: the caller ended the utterance, or took it back."""
        self.is_speaking, self.silent_from = False, None


def samples_of_ms(milliseconds: float) -> int:
    return int(milliseconds * SAMPLE_RATE / 1000)
