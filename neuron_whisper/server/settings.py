"""How the server listens and how much one request may ask of it."""

from __future__ import annotations

from dataclasses import dataclass

from neuron_whisper.audio.limits import AudioLimits
from neuron_whisper.errors import InvalidOption

MIB = 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Validated where made: raises InvalidOption with field, value and what is allowed.

    `port` 0: any free one. `max_upload_bytes` is OpenAI's limit by default; `max_audio_s` and
    `max_decoded_bytes` hold for what the upload unpacks to. `request_timeout_s` runs from a request's headers
    to its answer. `drain_s` is how long requests in flight may take after the first SIGTERM or SIGINT.
    `vad_filter`: text only where the voice detector hears speech.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    max_upload_bytes: int = 25 * MIB
    max_audio_s: float = 2 * 3600.0
    max_decoded_bytes: int = 4096 * MIB
    request_timeout_s: float = 3600.0
    drain_s: float = 30.0
    vad_filter: bool = True

    def __post_init__(self) -> None:
        if not self.host:
            raise InvalidOption("host", self.host, "an address or a name of this machine, such as 127.0.0.1")
        for field, low, high in (
            ("port", 0, 65535),
            ("max_upload_bytes", 1, 1024**4),
            ("max_audio_s", 0.1, 7 * 86400),
            ("max_decoded_bytes", 1, 1024**4),
            ("request_timeout_s", 0.1, 7 * 86400),
            ("drain_s", 0, 86400),
        ):
            value = getattr(self, field)
            if not low <= value <= high:
                raise InvalidOption(field, value, f"a number from {low} to {high}")

    @property
    def audio_limits(self) -> AudioLimits:
        """What a decoder may read and give for one request."""
        return AudioLimits(
            max_bytes=self.max_upload_bytes,
            max_seconds=self.max_audio_s,
            max_decoded_bytes=self.max_decoded_bytes,
        )
