"""AudioLimits: how much audio one request may contain, and DecodedAmount, which checks it."""

from __future__ import annotations

from dataclasses import dataclass

from neuron_whisper.errors import AudioTooLarge, AudioTooLong, InvalidOption

MIN_RATE, MAX_RATE = 4_000, 192_000  # Hz
MAX_RATE_CHANGES = 64  # each may cost a new resampling filter, up to half a second of work
MAX_CHANNELS = 512  # FFmpeg's limit
ROUNDING_TOLERANCE_S = 1e-6  # of the sum of all frames' durations


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioLimits:
    """Checked while reading and decoding, so that a small file that decodes to days of audio is stopped early.

    None: no limit of bytes. `max_decoded_bytes` counts the samples as they are decoded, with the source's rate,
    channels and sample width. `seconds_setting` is named to users whose audio is longer than `max_seconds`.
    """

    max_bytes: int | None = None
    max_seconds: float = 4 * 3600.0
    max_decoded_bytes: int | None = None
    seconds_setting: str = "--max-audio-s"

    def __post_init__(self) -> None:
        for field in ("max_bytes", "max_seconds", "max_decoded_bytes"):
            value = getattr(self, field)
            if value is not None and not value > 0:
                raise InvalidOption(field, value, "it must be greater than 0")


@dataclass(slots=True)
class DecodedAmount:
    """How much of the file `name` was decoded. Raises AudioTooLong, AudioTooLarge when it exceeds the limits."""

    name: str
    limits: AudioLimits
    seconds: float = 0.0
    bytes: int = 0

    def add(self, seconds: float, n_bytes: int) -> None:
        self.seconds += seconds
        self.bytes += n_bytes
        if self.seconds > self.limits.max_seconds + ROUNDING_TOLERANCE_S:
            raise AudioTooLong(self.name, self.limits.max_seconds, self.limits.seconds_setting)
        max_bytes = self.limits.max_decoded_bytes
        if max_bytes is not None and self.bytes > max_bytes:
            raise AudioTooLarge(self.name, "the decoded audio", max_bytes)
