"""Every setting of the server: its default, range and help text."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from neuron_whisper.audio.limits import AudioLimits
from neuron_whisper.errors import InvalidOption
from neuron_whisper.server.config.schema import check_settings
from neuron_whisper.server.http.hosts import AllowedHosts
from neuron_whisper.server.http.origins import PageOrigins

MIB = 1024**2
DAY_S = 86400


# Defaults that a value of `compat` brings. SageMaker: its container listens on 8080, answers within 60 s, and is killed
# 30 s after SIGTERM (docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code, looked up 2026-11-27).
COMPAT_DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "sagemaker": {"host": "0.0.0.0", "port": 8080, "request_timeout_s": 58.0, "drain_s": 25.0}  # noqa: S104
}


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings, validated on construction: raises InvalidOption with field, value and what is allowed.

    Every field is a flag of `serve`, a NEURON_WHISPER_* variable and a key of the TOML file.
    """

    model: Annotated[
        tuple[str, ...],
        Meta(description="Models to serve: short names, Hugging Face ids or paths; compiled on first use."),
    ] = ()
    artifact: Annotated[
        tuple[str, ...],
        Meta(description="Compiled artifacts to serve: by name, model label, key or path; never compiled."),
    ] = ()
    profile: Annotated[str | None, Meta(description="Compile profile of the models, by name or file.")] = None
    threads: Annotated[int, Meta(ge=0, le=4096, description="CPU threads; 0 = all cores.")] = 0
    replicas: Annotated[
        Annotated[int, Meta(ge=1, le=1024)] | None,
        Meta(
            description="Worker processes of a model, each with a share of the cores and all slots; by default as the "
            "profile says."
        ),
    ] = None
    verify: Annotated[
        bool | None,
        Meta(description="Check each graph of an artifact by its golden tokens before serving; by default on Neuron."),
    ] = None
    host: Annotated[str, Meta(description="Address to listen on; 0.0.0.0: all IPv4 addresses, ::: all of both.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Meta(ge=0, le=65535, description="Port to listen on; 0: any free port.")] = 8000
    max_upload_bytes: Annotated[
        int,
        Meta(
            ge=1,
            le=1024**4,
            description="Largest upload of a request, such as 25MB (the default is OpenAI's limit).",
            extra={"flag": "max-upload"},
        ),
    ] = 25 * MIB
    max_audio_s: Annotated[float, Meta(ge=0.1, le=7 * DAY_S, description="Longest audio of a request, in seconds.")] = (
        2 * 3600.0
    )
    max_decoded_bytes: Annotated[
        int,
        Meta(
            ge=1,
            le=1024**4,
            description="Most bytes that an upload may decode to, such as 4096MB.",
            extra={"flag": "max-decoded"},
        ),
    ] = 4096 * MIB
    decoders: Annotated[
        Annotated[int, Meta(ge=1, le=256)] | None,
        Meta(
            description="Child processes that decode uploads, one at a time each; by default one for each core, at "
            "most 4. Jobs have jobs_at_once of their own."
        ),
    ] = None
    decoder_memory_bytes: Annotated[
        int,
        Meta(
            ge=64 * MIB,
            le=1024**4,
            description="Memory that decoding a file may take at most; a small file gets less, 256 MB and 8 bytes for "
            "each of its own.",
            extra={"flag": "decoder-memory"},
        ),
    ] = 1024 * MIB
    decoder_stall_s: Annotated[
        float,
        Meta(ge=0.1, le=DAY_S, description="Give a file up when nothing of it was decoded for this many seconds."),
    ] = 30.0
    request_timeout_s: Annotated[
        float, Meta(ge=0.1, le=7 * DAY_S, description="Seconds from a request's headers to the end of its response.")
    ] = 3600.0
    drain_s: Annotated[
        float,
        Meta(ge=0, le=DAY_S, description="Seconds that requests in flight may take after the first SIGTERM or SIGINT."),
    ] = 30.0
    realtime_sessions: Annotated[
        int, Meta(ge=0, le=100000, description="Realtime sessions (WebSockets) at once; 0 disables them.")
    ] = 32
    realtime_sessions_per_key: Annotated[
        int,
        Meta(ge=0, le=100000, description="Realtime sessions of one API key at once; 0: half where there are several."),
    ] = 0
    realtime_buffer_s: Annotated[
        float,
        Meta(
            ge=32,
            le=3600,
            description="Seconds of speech that may wait for transcription before a realtime session is slowed down.",
        ),
    ] = 60.0
    realtime_idle_s: Annotated[
        float,
        Meta(ge=0.1, le=7 * DAY_S, description="Close a realtime session that sends nothing for this many seconds."),
    ] = 300.0
    realtime_message_bytes: Annotated[
        int, Meta(ge=1024, le=1024**3, description="Largest message of a realtime session.")
    ] = 16 * MIB
    vad_filter: Annotated[
        bool, Meta(description="Transcribe only where voice activity detection finds speech.", extra={"flag": "vad"})
    ] = True
    aliases: Annotated[
        tuple[str, ...],
        Meta(description="Further names of models as ALIAS=MODEL, such as whisper-1=turbo,gpt-4o-transcribe=turbo."),
    ] = ()
    default_model: Annotated[
        str | None, Meta(description="Model used when a request names none; by default the first.")
    ] = None
    preload: Annotated[
        Literal["all", "default", "none"],
        Meta(description="Models to load before the server listens; others are loaded by their first request."),
    ] = "all"
    idle_unload_s: Annotated[
        float,
        Meta(
            ge=0,
            le=30 * DAY_S,
            description="Unload a model after this many idle seconds; the next request reloads it. 0 = never.",
        ),
    ] = 0.0
    model_admin: Annotated[
        bool, Meta(description="Add the routes that load and unload models; with API keys they need the role admin.")
    ] = False
    log_format: Annotated[Literal["text", "json"], Meta(description="Format of the log on stderr.")] = "text"
    keys_file: Annotated[
        Path | None,
        Meta(description="File of API keys (see `neuron-whisper keys`); without it no authentication is required."),
    ] = None
    cors_origins: Annotated[
        tuple[str, ...],
        Meta(
            description="Origins whose pages may use the API and its WebSockets from a browser or an app, such as "
            "https://app.example.com, https://*.example.com, app://obsidian.md, file:// or null."
        ),
    ] = ()
    forwarded_allow_ips: Annotated[
        tuple[str, ...],
        Meta(
            description="Addresses or networks of reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are "
            "believed, such as 10.0.0.2,10.1.0.0/16; *: every client's."
        ),
    ] = ()
    compat: Annotated[
        Literal["none", "sagemaker"],
        Meta(
            description="Routes of another service as well: sagemaker has GET /ping and POST /invocations, and other "
            "defaults of host, port, request_timeout_s and drain_s."
        ),
    ] = "none"
    root_path: Annotated[
        str, Meta(description="Path below which a reverse proxy serves this server, such as /speech; it strips it.")
    ] = ""
    allowed_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Host names that requests may be sent to, such as speech.example.com or *.example.com, beside "
            "this machine's own; by default any, on loopback without keys only this machine's own."
        ),
    ] = ()
    samples_dir: Annotated[
        Path | None,
        Meta(description="Directory of recordings that the page offers to try; they need no API key."),
    ] = None
    metrics_need_key: Annotated[bool, Meta(description="Require an admin key for GET /metrics.")] = False
    otlp_endpoint: Annotated[
        str | None,
        Meta(
            description="OpenTelemetry collector that traces are exported to over OTLP/HTTP, such as http://127.0.0.1:4318."
        ),
    ] = None
    max_requests: Annotated[
        int, Meta(ge=1, le=100000, description="Requests in flight; further ones are rejected with 503.")
    ] = 512
    max_requests_per_client: Annotated[
        int,
        Meta(
            ge=0,
            le=100000,
            description="Requests in flight of one API key (without keys: address); further ones get 429. 0 = none.",
        ),
    ] = 0
    max_wait_s: Annotated[
        float,
        Meta(
            ge=0.1,
            le=DAY_S,
            description="Reject a request with 503 if its expected wait for a slot exceeds this many seconds.",
        ),
    ] = 30.0
    max_connections: Annotated[
        int, Meta(ge=1, le=1000000, description="Open connections; further ones get 503 and are closed.")
    ] = 4096
    header_timeout_s: Annotated[
        float,
        Meta(ge=0.1, le=DAY_S, description="Seconds from the start of a connection to the end of a request's headers."),
    ] = 20.0
    send_timeout_s: Annotated[
        float,
        Meta(
            ge=0.1,
            le=DAY_S,
            description="Abort a connection whose client reads less than 1 KiB/s of its response for so many seconds.",
        ),
    ] = 30.0
    upload_idle_s: Annotated[
        float, Meta(ge=0.1, le=DAY_S, description="Abort an upload that pauses for this many seconds.")
    ] = 30.0
    upload_least_bytes_s: Annotated[
        float,
        Meta(
            ge=0,
            le=1000000000.0,
            description="Abort an upload that is slower than this many bytes per second after 10 s; 0 = no limit.",
        ),
    ] = 1024.0
    hang_s: Annotated[
        float,
        Meta(
            ge=0.1,
            le=DAY_S,
            description="Seconds after which a device call counts as hung: /health/live turns 503, and a worker "
            "process is replaced.",
        ),
    ] = 120.0
    jobs_dir: Annotated[
        Path | None,
        Meta(
            description="Directory of the job queue, of this user with mode 0700; without it /v1/jobs does not exist."
        ),
    ] = None
    jobs_max: Annotated[int, Meta(ge=1, le=1000000, description="Stored jobs at most, finished ones included.")] = 1000
    jobs_max_bytes: Annotated[
        int, Meta(ge=1, le=1024**5, description="Bytes of stored uploads and results at most.")
    ] = 20480 * MIB
    jobs_max_per_key: Annotated[
        int, Meta(ge=0, le=1000000, description="Stored jobs of one API key; 0: half of them where there are several.")
    ] = 0
    jobs_max_bytes_per_key: Annotated[
        int,
        Meta(
            ge=0,
            le=1024**5,
            description="Bytes of stored uploads and results of one API key; 0: half where there are several.",
        ),
    ] = 0
    jobs_max_upload_bytes: Annotated[int, Meta(ge=1, le=1024**4, description="Largest file of a job.")] = 1024 * MIB
    jobs_max_audio_s: Annotated[
        float, Meta(ge=0.1, le=7 * DAY_S, description="Longest audio of a job, in seconds.")
    ] = 12 * 3600.0
    jobs_at_once: Annotated[
        int, Meta(ge=1, le=64, description="Jobs that run at once, each on at most half of the slots.")
    ] = 1
    jobs_max_attempts: Annotated[
        int, Meta(ge=1, le=100, description="Attempts before a job interrupted by server restarts is marked failed.")
    ] = 3
    jobs_retention_s: Annotated[
        float, Meta(ge=1, le=365 * DAY_S, description="Seconds for which a finished job is kept.")
    ] = DAY_S
    jobs_url_origins: Annotated[
        tuple[str, ...],
        Meta(
            description="Origins that audio may be fetched from: files.example.org,*.example.org,http://10.0.0.5:9000."
        ),
    ] = ()
    jobs_url_timeout_s: Annotated[
        float, Meta(ge=1, le=DAY_S, description="Seconds that fetching the audio of a job may take.")
    ] = 3600.0
    webhook_origins: Annotated[
        tuple[str, ...], Meta(description="Origins that webhooks may be sent to (same syntax as jobs_url_origins).")
    ] = ()
    webhook_secret: Annotated[
        str | None,
        Meta(description="Secret that signs webhooks: whsec_ and base64 of 24 to 64 bytes.", extra={"is_secret": True}),
    ] = None
    webhook_retry_s: Annotated[
        float,
        Meta(
            ge=0.01,
            le=DAY_S,
            description="Seconds before a webhook's second attempt; each further wait is 4 times longer.",
        ),
    ] = 5.0
    private_networks: Annotated[
        tuple[str, ...],
        Meta(description="Private networks (CIDR) that job URLs and webhooks may resolve to, such as 10.1.0.0/16."),
    ] = ()

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.host:
            raise InvalidOption("host", self.host, "an address or a name of this machine, such as 127.0.0.1")
        PageOrigins(self.cors_origins)
        for address in self.forwarded_allow_ips:
            if address != "*" and not _is_network(address):
                raise InvalidOption(
                    "forwarded_allow_ips", address, "an IP address, a network such as 10.1.0.0/16, or *"
                )
        if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", self.root_path):
            raise InvalidOption("root_path", self.root_path, "a path such as /speech, without a slash at its end")
        AllowedHosts(self.allowed_hosts)
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
            seconds_setting="--jobs-max-audio-s",
            # the same bytes per second as a request
            max_decoded_bytes=int(self.max_decoded_bytes * max(1.0, self.jobs_max_audio_s / self.max_audio_s)),
        )


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True
