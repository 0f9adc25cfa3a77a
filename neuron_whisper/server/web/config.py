"""PageConfig: what the page knows of its server before its first request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec

from neuron_whisper import __version__
from neuron_whisper.server.config.settings import ServerSettings
from neuron_whisper.text.languages import LANGUAGES


class PageLanguage(msgspec.Struct, frozen=True, kw_only=True):
    """A language of the default model."""

    code: str
    name: str


class PageSample(msgspec.Struct, frozen=True, kw_only=True):
    """A recording to try; `url` is relative to the page's own."""

    name: str
    url: str


class PageConfig(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Sizes in bytes, durations in seconds. `nonce` is that of the response's Content-Security-Policy."""

    model: str
    languages: Sequence[PageLanguage]
    max_upload_bytes: int
    max_audio_seconds: float
    has_keys: bool
    has_jobs: bool
    jobs_max_upload_bytes: int
    jobs_max_audio_seconds: float
    has_realtime: bool
    has_model_admin: bool
    metrics_need_key: bool
    samples: Sequence[PageSample] = ()
    version: str = __version__
    nonce: str = ""


def create_page_config(
    settings: ServerSettings, model: str, languages: Sequence[str], samples: Mapping[str, str] = MappingProxyType({})
) -> PageConfig:
    """The configuration for a server with these settings whose default model has these language codes.

    `samples` are recordings by name, with their URLs.
    """
    named = [PageLanguage(code=code, name=LANGUAGES[code].title()) for code in languages]
    return PageConfig(
        model=model,
        languages=sorted(named, key=lambda language: language.name),
        max_upload_bytes=settings.max_upload_bytes,
        max_audio_seconds=settings.max_audio_s,
        has_keys=settings.keys_file is not None,
        has_jobs=settings.jobs_dir is not None,
        jobs_max_upload_bytes=settings.jobs_max_upload_bytes,
        jobs_max_audio_seconds=settings.jobs_max_audio_s,
        has_realtime=settings.realtime_sessions > 0,
        has_model_admin=settings.model_admin,
        metrics_need_key=settings.metrics_need_key,
        samples=[PageSample(name=name, url=url) for name, url in samples.items()],
    )


def to_script_json(config: PageConfig) -> str:
    """JSON that may stand within <script>: no text of it can end the element or begin a comment."""
    text = msgspec.json.encode(config).decode()
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
