"""What whoever runs the server decides: every setting, its default and what it may be."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from neuron_whisper.audio.limits import AudioLimits
from neuron_whisper.errors import InvalidOption
from neuron_whisper.server.config.schema import check_settings, setting

MIB = 1024**2
DAY_S = 86400
PRELOAD_CHOICES = ("all", "default", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Validated where made: raises InvalidOption with field, value and what is allowed.

    A field declared with `setting` is a flag of `serve`, a NEURON_WHISPER_* variable and a key of its file as well.
    """

    host: str = setting("127.0.0.1", "0.0.0.0 listens on every address.")
    port: int = setting(8000, "0: any free one.", low=0, high=65535)
    max_upload_bytes: int = setting(
        25 * MIB, "Largest upload taken; OpenAI's limit by default.", low=1, high=1024**4, flag="max-upload"
    )
    max_audio_s: float = setting(2 * 3600.0, "Longest audio taken.", low=0.1, high=7 * DAY_S)
    max_decoded_bytes: int = setting(
        4096 * MIB, "Most that an upload may unpack to.", low=1, high=1024**4, flag="max-decoded"
    )
    request_timeout_s: float = setting(3600.0, "From a request's headers to its answer.", low=0.1, high=7 * DAY_S)
    drain_s: float = setting(
        30.0, "How long requests in flight may take after the first SIGTERM or SIGINT.", low=0, high=DAY_S
    )
    realtime_sessions: int = setting(32, "Realtime sockets at once.", low=0, high=100_000)
    realtime_buffer_s: float = setting(
        60.0, "Speech of one socket that may wait for its text before the socket is slowed down.", low=32, high=3600
    )
    realtime_idle_s: float = setting(
        300.0, "A socket that sends nothing for so long is closed.", low=0.1, high=7 * DAY_S
    )
    realtime_message_bytes: int = setting(16 * MIB, "Largest message of a socket.", low=1024, high=1024**3)
    vad_filter: bool = setting(True, "Text only where the voice detector hears speech.", flag="vad")
    aliases: tuple[str, ...] = setting((), "More names for models: whisper-1=turbo,gpt-4o-transcribe=turbo.")
    default_model: str | None = setting(None, "Meant where a request names no model; otherwise the first one.")
    preload: str = setting(
        "all", "Models loaded before the server listens; others are by their first request.", choices=PRELOAD_CHOICES
    )
    idle_unload_s: float = setting(
        0.0, "A model that nobody used for so long is let go until it is asked for; 0: never.", low=0, high=30 * DAY_S
    )
    model_admin: bool = setting(False, "Routes that load and unload models; with keys, for the role admin.")
    log_format: str = setting("text", "Lines of the log on stderr.", choices=("text", "json"))
    keys_file: Path | None = setting(None, "API keys, made with `neuron-whisper keys`; without it anybody may ask.")
    cors_origins: tuple[str, ...] = setting((), "Pages of these origins may ask, such as https://app.example.com.")
    metrics_need_key: bool = setting(False, "GET /metrics for the role admin alone.")
    otlp_endpoint: str | None = setting(
        None, "A collector of OpenTelemetry traces, spoken to over OTLP/HTTP, such as http://127.0.0.1:4318."
    )
    max_requests: int = setting(512, "Requests in flight; more are refused with 503.", low=1, high=100_000)
    max_requests_per_client: int = setting(
        0, "Of one key, or without keys of one address; more are refused with 429. 0: no limit.", low=0, high=100_000
    )
    max_wait_s: float = setting(
        30.0,
        "A request that would wait longer for a slot, by the present rate, is refused with 503.",
        low=0.1,
        high=DAY_S,
    )
    max_connections: int = setting(4096, "Open connections; more are closed at once.", low=1, high=1_000_000)
    header_timeout_s: float = setting(20.0, "From a connection to a request's headers.", low=0.1, high=DAY_S)
    upload_idle_s: float = setting(30.0, "An upload that stops for so long is given up.", low=0.1, high=DAY_S)
    upload_least_bytes_s: float = setting(
        1024.0, "An upload slower than so many bytes a second is given up after 10 s; 0: none is.", low=0, high=1e9
    )
    hang_s: float = setting(
        120.0, "A device call that takes longer hangs: /health/live turns 503.", low=0.1, high=DAY_S
    )
    jobs_dir: Path | None = setting(None, "Keeps /v1/jobs, for this user alone; without it there are no jobs.")
    jobs_max: int = setting(1000, "Jobs stored at once, done ones included.", low=1, high=1_000_000)
    jobs_max_bytes: int = setting(20_480 * MIB, "Uploads and results stored at once.", low=1, high=1024**5)
    jobs_max_upload_bytes: int = setting(1024 * MIB, "Largest file of a job.", low=1, high=1024**4)
    jobs_max_audio_s: float = setting(12 * 3600.0, "Longest audio of a job.", low=0.1, high=7 * DAY_S)
    jobs_at_once: int = setting(1, "Jobs that run at once, each on at most half of the slots.", low=1, high=64)
    jobs_max_attempts: int = setting(
        3, "A job that was begun so often, and during which the server ended each time, fails.", low=1, high=100
    )
    jobs_retention_s: float = setting(DAY_S, "How long a job that ended is kept.", low=1, high=365 * DAY_S)
    jobs_url_origins: tuple[str, ...] = setting(
        (), "Where a job's audio may be fetched from: files.example.org,*.example.org,http://10.0.0.5:9000."
    )
    jobs_url_timeout_s: float = setting(3600.0, "For fetching a job's audio.", low=1, high=DAY_S)
    webhook_origins: tuple[str, ...] = setting((), "Where jobs that ended may be told to, as jobs_url_origins.")
    webhook_secret: str | None = setting(None, "Signs webhooks: whsec_ and base64 of 24 to 64 bytes.", is_secret=True)
    webhook_retry_s: float = setting(
        5.0, "Before a webhook's second attempt; each wait is 4 times the last.", low=0.01, high=DAY_S
    )
    private_networks: tuple[str, ...] = setting(
        (), "Addresses such as 10.1.0.0/16 that these may have though they are not public."
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.host:
            raise InvalidOption("host", self.host, "an address or a name of this machine, such as 127.0.0.1")
        for origin in self.cors_origins:
            if not re.fullmatch(r"https?://[^/\s]+|\*", origin):
                raise InvalidOption("cors_origins", origin, "an origin such as https://app.example.com, without a path")
        if self.otlp_endpoint is not None and not re.fullmatch(r"https?://[^/\s]+(/[^\s?#]*)?", self.otlp_endpoint):
            raise InvalidOption("otlp_endpoint", self.otlp_endpoint, "an address such as http://127.0.0.1:4318")
        for alias in self.aliases:
            if not all(alias.partition("=")[::2]):
                raise InvalidOption("aliases", alias, "NAME=MODEL, such as whisper-1=turbo")

    @property
    def audio_limits(self) -> AudioLimits:
        """What a decoder may read and give for one request."""
        return AudioLimits(
            max_bytes=self.max_upload_bytes,
            max_seconds=self.max_audio_s,
            max_decoded_bytes=self.max_decoded_bytes,
        )

    @property
    def job_limits(self) -> AudioLimits:
        """What a decoder may read and give for one job."""
        return AudioLimits(
            max_bytes=self.jobs_max_upload_bytes,
            max_seconds=self.jobs_max_audio_s,
            # as many bytes for each second as a request has
            max_decoded_bytes=int(self.max_decoded_bytes * max(1.0, self.jobs_max_audio_s / self.max_audio_s)),
        )
