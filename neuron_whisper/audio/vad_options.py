"""Options of voice activity detection."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from neuron_whisper.errors import InvalidOption
from neuron_whisper.option_spec import FINITE, SAME, check_options, option

CHUNK_MS = 32  # Silero's step: 512 samples at 16 kHz
HYSTERESIS = 0.15  # silero-vad get_speech_timestamps: how far below the threshold silence begins
MIN_THRESHOLD = 0.01  # the same
MAX_PAD_MS = 10_000

GROUP = "Voice activity detection"


@dataclass(frozen=True, slots=True, kw_only=True)
class VadOptions:
    """Names as in silero-vad. Defaults as in faster-whisper, but `min_speech_duration_ms`, which is silero-vad's.

    Raises InvalidOption.

    Speech begins where the probability reaches `threshold` and ends where it stays below `neg_threshold` (None: 0.15
    below the other, at least 0.01) for `min_silence_duration_ms`. Speech of at most `min_speech_duration_ms` is
    removed. Each span is padded by `speech_pad_ms` on both sides, or by half the gap to its neighbour. A padded span
    longer than `max_speech_duration_s` is split in the longest of its pauses that are longer than
    `min_silence_at_max_speech` (ms), or else in the middle of speech.
    """

    threshold: float = option(
        0.5,
        "number",
        "Speech probability threshold.",
        group=GROUP,
        minimum=MIN_THRESHOLD,
        maximum=1,
        metavar="P",
        flags=("--vad-threshold",),
        faster_whisper=SAME,
    )
    neg_threshold: float | None = option(
        None,
        "number",
        "Silence probability threshold.",
        group=GROUP,
        minimum=0,
        maximum=1,
        default_note="0.15 below the threshold",
        faster_whisper=SAME,
    )
    min_speech_duration_ms: int = option(
        250,
        "number",
        "Ignore speech that is not longer, in milliseconds.",
        group=GROUP,
        minimum=0,
        maximum=FINITE,
        metavar="MS",
        flags=("--vad-min-speech",),
        faster_whisper=SAME,
    )
    max_speech_duration_s: float = option(
        math.inf,
        "number",
        "Split longer speech, in seconds.",
        group=GROUP,
        minimum=0,
        faster_whisper=SAME,
    )
    min_silence_duration_ms: int = option(
        2000,
        "number",
        "Shortest silence that ends a span of speech, in milliseconds.",
        group=GROUP,
        minimum=0,
        maximum=FINITE,
        metavar="MS",
        flags=("--vad-min-silence",),
        faster_whisper=SAME,
    )
    speech_pad_ms: int = option(
        400,
        "number",
        "Silence kept on both sides of a span of speech, in milliseconds.",
        group=GROUP,
        minimum=0,
        maximum=MAX_PAD_MS,
        metavar="MS",
        flags=("--vad-speech-pad",),
        faster_whisper=SAME,
    )
    min_silence_at_max_speech: int = option(
        98,
        "number",
        "Shortest pause in which speech that is too long is split, in milliseconds.",
        group=GROUP,
        minimum=0,
        maximum=FINITE,
        faster_whisper=SAME,
    )

    def __post_init__(self) -> None:
        check_options(self)
        if self.neg_threshold is not None and self.neg_threshold > self.threshold:
            allowed = f"a number from 0 to the threshold, {self.threshold:g}"
            raise InvalidOption("neg_threshold", self.neg_threshold, allowed)
        shortest_s = (2 * self.speech_pad_ms + 2 * CHUNK_MS) / 1000
        if not self.max_speech_duration_s >= shortest_s:
            allowed = f"a number from {shortest_s:g}: twice speech_pad_ms and {2 * CHUNK_MS} ms"
            raise InvalidOption("max_speech_duration_s", self.max_speech_duration_s, allowed)

    @property
    def silence_threshold(self) -> float:
        """`neg_threshold`, or the value that None stands for."""
        if self.neg_threshold is not None:
            return self.neg_threshold
        return max(self.threshold - HYSTERESIS, MIN_THRESHOLD)

    def with_max_duration(self, max_speech_duration_s: float) -> VadOptions:
        """Limits spans to `max_speech_duration_s` seconds. Raises InvalidOption if that is too short."""
        return replace(self, max_speech_duration_s=min(self.max_speech_duration_s, max_speech_duration_s))
