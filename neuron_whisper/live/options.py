"""Options of a live session: turn detection, partial results and decoding."""

from __future__ import annotations

from dataclasses import dataclass, field

from neuron_whisper.audio.clip import WINDOW_S
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.errors import InvalidOption

MAX_PADDING_MS = 5_000
MAX_SILENCE_MS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnDetection:
    """The voice detector ends utterances. Names and defaults are OpenAI's. Raises InvalidOption.

    Speech begins where the detector's probability reaches `threshold`, and `prefix_padding_ms` before it are
    included; it ends when the probability stays 0.15 below for `silence_duration_ms`.
    """

    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500

    def __post_init__(self) -> None:
        for name, low, high in (
            ("threshold", 0.0, 1.0),
            ("prefix_padding_ms", 0, MAX_PADDING_MS),
            ("silence_duration_ms", 0, MAX_SILENCE_MS),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InvalidOption(name, value, f"a number from {low:g} to {high:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOptions:
    """`turn_detection` None: the caller commits utterances. `partial_results`: emit text before an utterance ends, the
    first after `first_partial_s` of speech, then every `partial_interval_s`, or less often if decoding does not keep
    up. Raises InvalidOption.
    """

    transcribe: TranscribeOptions = field(default_factory=TranscribeOptions)
    turn_detection: TurnDetection | None = field(default_factory=TurnDetection)
    partial_results: bool = True
    first_partial_s: float = 0.35
    partial_interval_s: float = 0.5

    def __post_init__(self) -> None:
        for name in ("first_partial_s", "partial_interval_s"):
            if not 0.1 <= getattr(self, name) <= WINDOW_S:
                raise InvalidOption(name, getattr(self, name), f"seconds from 0.1 to {WINDOW_S:g}")
        if self.transcribe.clip_timestamps:
            raise InvalidOption("clip_timestamps", self.transcribe.clip_timestamps, "none: a live session has no clips")
