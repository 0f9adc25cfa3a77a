"""AudioLimits: how much audio one request may contain."""

from __future__ import annotations

from dataclasses import dataclass

from neuron_whisper.errors import InvalidOption


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioLimits:
    """Checked while reading and decoding, so that a small file that decodes to days of audio is stopped early.

    `max_decoded_bytes` counts the samples as they are decoded, with the source's rate, channels and sample width.
    """

    max_bytes: int = 2 * 1024**3
    max_seconds: float = 4 * 3600.0
    max_decoded_bytes: int = 8 * 1024**3

    def __post_init__(self) -> None:
        for field in ("max_bytes", "max_seconds", "max_decoded_bytes"):
            if not getattr(self, field) > 0:
                raise InvalidOption(field, getattr(self, field), "it must be greater than 0")
