"""Options of a live session: turn detection, partial results and decoding."""

from __future__ import annotations

from dataclasses import dataclass, field

from neuron_whisper.audio.clip import WINDOW_S
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.errors import InvalidOption
from neuron_whisper.option_spec import SAME, check_options, option

MAX_PADDING_MS = 5_000
MAX_SILENCE_MS = 20_000

GROUP = "Turn detection"


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnDetection:
    """The voice detector ends utterances. Names and defaults are OpenAI's. Raises InvalidOption.

    Speech begins where the detector's probability reaches `threshold`, and `prefix_padding_ms` before it are
    included; it ends when the probability stays 0.15 below for `silence_duration_ms`.
    """

    threshold: float = option(
        0.5,
        "number",
        "Speech probability threshold.",
        group=GROUP,
        minimum=0,
        maximum=1,
        realtime_field=SAME,
    )
    prefix_padding_ms: int = option(
        300,
        "integer",
        "Audio before the detected speech that belongs to the utterance, in milliseconds.",
        group=GROUP,
        minimum=0,
        maximum=MAX_PADDING_MS,
        realtime_field=SAME,
    )
    silence_duration_ms: int = option(
        500,
        "integer",
        "Silence that ends an utterance, in milliseconds.",
        group=GROUP,
        minimum=0,
        maximum=MAX_SILENCE_MS,
        realtime_field=SAME,
    )

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOptions:
    """`turn_detection` None: the caller commits utterances. `partial_results`: emit text before an utterance ends, the
    first after `first_partial_s` of speech, then every `partial_interval_s`, or less often if decoding does not keep
    up. Raises InvalidOption.
    """

    transcribe: TranscribeOptions = field(default_factory=TranscribeOptions)
    turn_detection: TurnDetection | None = field(default_factory=TurnDetection)
    partial_results: bool = option(
        True, "boolean", "Emit text before an utterance ends.", group=GROUP, realtime_field="partials"
    )
    first_partial_s: float = option(
        0.35,
        "number",
        "Speech before the first partial result, in seconds.",
        group=GROUP,
        minimum=0.1,
        maximum=WINDOW_S,
    )
    partial_interval_s: float = option(
        0.5, "number", "Time between partial results, in seconds.", group=GROUP, minimum=0.1, maximum=WINDOW_S
    )

    def __post_init__(self) -> None:
        check_options(self)
        if self.transcribe.clip_timestamps:
            raise InvalidOption("clip_timestamps", self.transcribe.clip_timestamps, "none: a live session has no clips")
