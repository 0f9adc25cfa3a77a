"""Every setting of the server: its default, range and help text."""

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
    """The settings, validated on construction: raises InvalidOption with field, value and what is allowed.

    Every field declared with `setting` is a flag of `serve`, a NEURON_WHISPER_* variable and a key of the TOML file.
    """

    host: str = setting("127.0.0.1", "Address to listen on; 0.0.0.0: all IPv4 addresses.")
    port: int = setting(8000, "Port to listen on; 0: any free port.", low=0, high=65535)
    max_upload_bytes: int = setting(
        25 * MIB,
        "Largest upload of a request, such as 25MB (the default is OpenAI's limit).",
        low=1,
        high=1024**4,
        flag="max-upload",
    )
    max_audio_s: float = setting(2 * 3600.0, "Longest audio of a request, in seconds.", low=0.1, high=7 * DAY_S)
    max_decoded_bytes: int = setting(
        4096 * MIB, "Most bytes that an upload may decode to, such as 4096MB.", low=1, high=1024**4, flag="max-decoded"
    )
    request_timeout_s: float = setting(
        3600.0, "Seconds from a request's headers to the end of its response.", low=0.1, high=7 * DAY_S
    )
    drain_s: float = setting(
        30.0, "Seconds that requests in flight may take after the first SIGTERM or SIGINT.", low=0, high=DAY_S
    )
    realtime_sessions: int = setting(
        32, "Realtime sessions (WebSockets) at once; 0 disables them.", low=0, high=100_000
    )
    realtime_buffer_s: float = setting(
        60.0,
        "Seconds of speech that may wait for transcription before a realtime session is slowed down.",
        low=32,
        high=3600,
    )
    realtime_idle_s: float = setting(
        300.0, "Close a realtime session that sends nothing for this many seconds.", low=0.1, high=7 * DAY_S
    )
    realtime_message_bytes: int = setting(16 * MIB, "Largest message of a realtime session.", low=1024, high=1024**3)
    vad_filter: bool = setting(True, "Transcribe only where voice activity detection finds speech.", flag="vad")
    aliases: tuple[str, ...] = setting(
        (), "Further names of models as ALIAS=MODEL, such as whisper-1=turbo,gpt-4o-transcribe=turbo."
    )
    default_model: str | None = setting(None, "Model used when a request names none; by default the first.")
    preload: str = setting(
        "all",
        "Models to load before the server listens; others are loaded by their first request.",
        choices=PRELOAD_CHOICES,
    )
    idle_unload_s: float = setting(
        0.0,
        "Unload a model after this many idle seconds; the next request reloads it. 0 = never.",
        low=0,
        high=30 * DAY_S,
    )
    model_admin: bool = setting(
        False, "Add the routes that load and unload models; with API keys they need the role admin."
    )
    log_format: str = setting("text", "Format of the log on stderr.", choices=("text", "json"))
    keys_file: Path | None = setting(
        None, "File of API keys (see `neuron-whisper keys`). Without it the server requires no authentication."
    )
    cors_origins: tuple[str, ...] = setting(
        (), "Origins whose pages may use the API from a browser, such as https://app.example.com."
    )
    metrics_need_key: bool = setting(False, "Require an admin key for GET /metrics.")
    otlp_endpoint: str | None = setting(
        None, "OpenTelemetry collector that traces are exported to over OTLP/HTTP, such as http://127.0.0.1:4318."
    )
    max_requests: int = setting(512, "Requests in flight; further ones are rejected with 503.", low=1, high=100_000)
    max_requests_per_client: int = setting(
        0,
        "Requests in flight of one API key, or of one address without keys; further ones get 429. 0 = no limit.",
        low=0,
        high=100_000,
    )
    max_wait_s: float = setting(
        30.0,
        "Reject a request with 503 if its expected wait for a slot exceeds this many seconds.",
        low=0.1,
        high=DAY_S,
    )
    max_connections: int = setting(
        4096, "Open connections; further ones get 503 and are closed.", low=1, high=1_000_000
    )
    header_timeout_s: float = setting(
        20.0, "Seconds from the start of a connection to the end of a request's headers.", low=0.1, high=DAY_S
    )
    upload_idle_s: float = setting(30.0, "Abort an upload that pauses for this many seconds.", low=0.1, high=DAY_S)
    upload_least_bytes_s: float = setting(
        1024.0,
        "Abort an upload that is slower than this many bytes per second after 10 s; 0 = no limit.",
        low=0,
        high=1e9,
    )
    hang_s: float = setting(
        120.0, "Seconds after which a device call counts as hung and /health/live turns 503.", low=0.1, high=DAY_S
    )
    jobs_dir: Path | None = setting(
        None, "Directory of the job queue, readable by this user alone; without it /v1/jobs does not exist."
    )
    jobs_max: int = setting(1000, "Stored jobs at most, finished ones included.", low=1, high=1_000_000)
    jobs_max_bytes: int = setting(20_480 * MIB, "Bytes of stored uploads and results at most.", low=1, high=1024**5)
    jobs_max_upload_bytes: int = setting(1024 * MIB, "Largest file of a job.", low=1, high=1024**4)
    jobs_max_audio_s: float = setting(12 * 3600.0, "Longest audio of a job, in seconds.", low=0.1, high=7 * DAY_S)
    jobs_at_once: int = setting(1, "Jobs that run at once, each on at most half of the slots.", low=1, high=64)
    jobs_max_attempts: int = setting(
        3, "Attempts before a job interrupted by server restarts is marked failed.", low=1, high=100
    )
    jobs_retention_s: float = setting(DAY_S, "Seconds for which a finished job is kept.", low=1, high=365 * DAY_S)
    jobs_url_origins: tuple[str, ...] = setting(
        (), "Origins that audio may be fetched from: files.example.org,*.example.org,http://10.0.0.5:9000."
    )
    jobs_url_timeout_s: float = setting(3600.0, "Seconds that fetching the audio of a job may take.", low=1, high=DAY_S)
    webhook_origins: tuple[str, ...] = setting(
        (), "Origins that webhooks may be sent to (same syntax as jobs_url_origins)."
    )
    webhook_secret: str | None = setting(
        None, "Secret that signs webhooks: whsec_ and base64 of 24 to 64 bytes.", is_secret=True
    )
    webhook_retry_s: float = setting(
        5.0, "Seconds before a webhook's second attempt; each further wait is 4 times longer.", low=0.01, high=DAY_S
    )
    private_networks: tuple[str, ...] = setting(
        (), "Private networks (CIDR) that job URLs and webhooks may resolve to, such as 10.1.0.0/16."
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
        """Limits of the audio of one request."""
        return AudioLimits(
            max_bytes=self.max_upload_bytes,
            max_seconds=self.max_audio_s,
            max_decoded_bytes=self.max_decoded_bytes,
        )

    @property
    def job_limits(self) -> AudioLimits:
        """Limits of the audio of one job."""
        return AudioLimits(
            max_bytes=self.jobs_max_upload_bytes,
            max_seconds=self.jobs_max_audio_s,
            # the same bytes per second as a request
            max_decoded_bytes=int(self.max_decoded_bytes * max(1.0, self.jobs_max_audio_s / self.max_audio_s)),
        )
